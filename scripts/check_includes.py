#!/usr/bin/env python3
"""Fails when a file includes what its module may not: a higher module, or a library kept elsewhere.

The table is the module order of docs/architecture.md. A module may include those it names, directly
or through them.
"""

import re
import sys

import source_tree

DIRECT = {
    "base": [],
    "layout": ["base"],
    "config": ["base"],
    "schedule": ["base", "layout"],
    "memory": ["base", "layout"],
    "comm": ["memory"],
    "kernels": ["memory"],
    "layer": ["kernels", "layout"],
    "optim": ["config", "kernels", "layout"],
    "zero": ["config", "schedule", "comm", "optim", "layer"],
    "model": ["layer"],
    "data": ["base", "config"],
    "checkpoint": ["zero", "model"],
    "generate": ["zero", "model", "data", "checkpoint"],
    "plan": ["schedule", "zero", "model"],
    "train": ["zero", "model", "data", "checkpoint", "generate", "plan"],
    "bench": ["train"],
    "launch": ["config"],
    "doctor": ["comm", "launch"],
    "api": ["zero", "model", "checkpoint"],
    "cli": ["train", "bench", "launch", "doctor", "api"],
}
TORCH_FREE = {"base", "layout", "config", "schedule", "data", "launch"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def reachable(module):
    """The module itself and all that it may include."""
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += DIRECT[name]
    return seen


ALLOWED = {module: reachable(module) for module in DIRECT}


def is_torch(path):
    return path.startswith(("torch/", "ATen/", "c10/", "caffe2/"))


def is_cuda(path):
    return path.startswith(("cuda", "cublas", "cudnn", "curand", "cufft", "cusparse", "nvtx3/", "cooperative_groups",
                            "ATen/cuda/", "ATen/cudnn/", "c10/cuda/", "torch/csrc/cuda/"))


def is_collective(path):
    return path.startswith(("nccl", "gloo/", "torch/csrc/distributed/"))


def library_problem(name, path):
    """Why this file may not include this library header, or None."""
    module = name.parts[1] if name.parts[0] == "src" else None
    cuda_file = name.stem.endswith(("_cuda", "_cuda_test")) or name.suffix == ".cuh" or "cuda_test" in name.parts
    if is_collective(path) and module != "comm":
        return "NCCL, Gloo and c10d headers belong in src/comm/"
    if is_cuda(path) and module not in ("comm", "memory") and not cuda_file:
        return "CUDA headers belong in src/comm/, src/memory/ and *_cuda.* files"
    if is_torch(path) and name.suffix in (".cu", ".cuh"):
        return "CUDA files are compiled without torch headers"
    if is_torch(path) and module in TORCH_FREE:
        return f"module {module} is built without libtorch"
    if path.startswith("torch/") and not is_collective(path) and not (
            module == "layer" and name.stem.startswith("autograd_layer")):
        return "torch/ headers belong in src/layer/autograd_layer*; use single ATen/ops headers"
    if path.startswith("spdlog/") and name.as_posix() != "src/base/log.cpp":
        return "spdlog belongs in src/base/log.cpp; call base/log.h"
    return None


def module_problem(name, path, quoted):
    """Why this file may not include this module's header, or None."""
    target = path.split("/")[0]
    if not quoted or name.parts[0] != "src" or target not in DIRECT:
        return None
    module = name.parts[1]
    if module not in ALLOWED:
        return f"module {module} has no row in scripts/check_includes.py"
    if target not in ALLOWED[module]:
        return f"module {module} may not include module {target}"
    return None


def check(root):
    """All findings of a tree, and the number of files read."""
    findings, names = [], source_tree.cpp_files(root)
    for name in names:
        for number, line in enumerate(source_tree.read(root, name).splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            problem = (module_problem(name, match[2], match[1] == '"') or library_problem(name, match[2]))
            if problem is None and name.parts[0] == "include" and (
                    is_cuda(match[2]) or match[2].startswith(("nccl", "spdlog", "nlohmann"))):
                problem = "public headers contain no CUDA, NCCL, spdlog or JSON header"
            if problem:
                findings.append(f"{name}:{number}: {match[2]}: {problem}")
    return findings, len(names)


if __name__ == "__main__":
    source_tree.finish("check_includes", *check(source_tree.root_argument(__doc__).parse_args(sys.argv[1:]).root))
