#!/usr/bin/env python3
"""Writes docs/memory.zh-CN.md: Chinese text around the tables and figures of docs/memory.md.

Run it after scripts/make_memory_doc.py. scripts/check_translations.py notices when it was forgotten.
"""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
WORDS = {"optimizer+params on the host": "优化器和参数在主机上", "optimizer on the host": "优化器在主机上", "stage": "阶段",
         "selective": "部分重算", "full": "全部重算", "none": "不重算", "model": "模型", "does not fit": "放不下",
         "GB per GPU": "GB 的 GPU"}

TEMPLATE = """# 显存与内存

`zt plan` 在训练开始之前算出它需要多少，依据的正是引擎所执行的那份操作列表。下面的表格就是它的输出（`scripts/make_memory_doc.py` 写出
英文页，有测试逐行比较；本页由英文页生成）。

## 计入什么

| 部分 | 内容 |
|---|---|
| 内存池 | 一次分配，容纳所有计划内的缓冲区：参数、梯度、优化器状态、激活、留给反向的数据、集合通信的发送缓冲、临时空间。其大小是准确的：引擎分配的就是这么多字节 |
| 库 | ATen 在一次调用中自行分配的最大量，对每一层取上限估计 |
| 上下文 | 驱动上下文、内核、cuBLAS 和 cuDNN 及其工作区：常数 1.2 GiB（在一块 H200 上测得，见 `src/plan/device_costs.h`） |
| 通信器 | 多于一个 rank 时 NCCL 的缓冲区：常数 0.75 GiB（在两块 H200 上测得，同一文件） |

n 个 rank 的 bf16 训练中每个参数的字节数：bf16 参数 2，fp32 梯度 4，fp32 主参数和两个动量 12。

| 阶段 | 每个参数的字节数 | 优化器放在主机上时 |
|---|---|---|
| 0 | 2 + 4 + 12 | 不提供 |
| 1 | 2 + 4 + 12 / n | 2 + 4 |
| 2 | 2 + (4 + 12) / n，另加一个单元的 bf16 梯度 | 2，另加一个单元的 bf16 梯度 |
| 3 | (2 + 4 + 12) / n，另加已收集的单元 | 2 / n，另加已收集的单元 |

`zt plan --model FOLDER|SHAPE --nproc N --gpu_memory 24GB --details` 打印占用最多的那个操作处的各类缓冲区和最大的几个，`--schedule`
打印每个操作。一行需要的量不超过显存的 90 % 才算放得下。`take:` 给出预测步时最短的设置，相差不到 2 % 时取
其中最简单的；它的那一行标有 `*`。不卸载、不重算就放得下时，什么也不离开显存。`--host_memory` 是一台机器的主机内存，由它的各个 rank
共用；`--num_nodes` 把 `--nproc` 个 rank 分布到多台机器上。

## 选什么

bf16，每块 4096 个 token，微批 1，16 个微步，时间取自所写显卡的数据表。依次为阶段、卸载（不是全部状态时写出比例）及其占用的
主机内存、重算：GPU 的 GiB 数，都按每个 rank 计，即训练实际占用的量：它会用掉剩余的空间，例如把几个微批合并计算。

{tables}
## 每个阶段需要多少

8 个 rank 中每个 rank 的 GiB 数，不卸载、全部重算，其余同上。

{stages}
## 经典算法

教程把参数量乘以每个参数的字节数，再把某一阶段切分的部分除以卡数。这是在某个假设之下模型状态的大小，仅此而已。`zt plan --tables`
打印它（加上 `--model` 则为该模型在四种假设之下的数字），旁边是同样大小的模型的计划，这里用上面的设置：

{classic}
## 按大小的建议

用规划器自己的数字说通常的建议，8 张卡。取放得下的行中卸载最少的，其次重算最少，再次发送的字节最少。

{advice}"""


def translated(text):
    for english, chinese in WORDS.items():
        text = re.sub(rf"\b{re.escape(english)}\b", chinese, text)
    return text


def section(text, heading):
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def figures(text, heading, mark):
    """The lines of a section from the first one that begins with `mark` to the last that is no prose."""
    lines = section(text, heading).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(mark))
    return "\n".join(lines[first:]).rstrip() + "\n"


def page(english):
    return TEMPLATE.format(tables=translated(figures(english, "What to take", "###")),
                           stages=translated(figures(english, "What each stage needs", "|")),
                           classic=figures(english, "The classic arithmetic", "    "),
                           advice=figures(english, "Advice by size", "    "))


if __name__ == "__main__":
    (DOCS / "memory.zh-CN.md").write_text(page((DOCS / "memory.md").read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
