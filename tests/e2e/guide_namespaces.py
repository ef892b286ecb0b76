#!/usr/bin/env python3
"""The guide scripts on two machines: two network namespaces with one cable between them, one rank in each.

Both scripts train to the end and give the same model; our processes listen on the machines' own addresses only; a
rank that dies is named on both machines. Needs root and network namespaces, and skips (77) where there are none.
"""

import os
import signal
import subprocess

import _guides as guides
from _checks import Report, skip
from _guides import DEEPSPEED, TORCHRUN
from _long_run import try_run

ADDRESSES = ["10.213.7.1", "10.213.7.2"]
PORT = 29500
NAMES = [f"zt{os.getpid()}n{i}" for i in range(2)]


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def make_machines():
    for name in NAMES:
        ip("netns", "add", name)
    ip("link", "add", NAMES[0], "netns", NAMES[0], "type", "veth", "peer", "name", NAMES[1], "netns", NAMES[1])
    for name, address in zip(NAMES, ADDRESSES):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
        for link in (name, "lo"):
            ip("-n", name, "link", "set", link, "up")


def remove_machines():
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def starts(root, output, script, stage):
    arguments = guides.command(script, stage, 2, 1, ADDRESSES[0], PORT, "--reduce_at", "boundary")
    return [(["ip", "netns", "exec", name, *arguments], guides.environment(root, output, NODE_RANK=str(node)))
            for node, name in enumerate(NAMES)]


def rank_is_killed(script):
    def act(run):
        wrong = run.socket_problems(ADDRESSES, "torchrun" if script == TORCHRUN else "")
        os.kill(run.ranks()[1], signal.SIGKILL)
        wrong += run.end_problems()
        if script == DEEPSPEED and "rank 1 failed first" not in run.logs[0].read_text(encoding="utf-8"):
            wrong.append("node 0 does not name rank 1")
        return wrong
    return act


def main():
    try:
        make_machines()
    except OSError as error:
        remove_machines()
        skip(f"no network namespaces here: {error}")
    try:
        with Report.in_folder("guide") as (report, root):
            guides.make_model(root)
            reference = None
            for script, stage in ((DEEPSPEED, 2), (TORCHRUN, 3)):
                output = root / script
                results = guides.run_together(starts(root, output, script, stage))
                report.check(f"{script}, stage {stage}, two machines", guides.problems_of(results, output, reference),
                             "\n".join(text for _, text in results))
                reference = reference or guides.model_hash(output)
                output = root / f"{script}-killed"
                try_run(report, f"{script}: a rank of the other machine is killed",
                        starts(root, output, script, stage), output, rank_is_killed(script))
    finally:
        remove_machines()


if __name__ == "__main__":
    main()
