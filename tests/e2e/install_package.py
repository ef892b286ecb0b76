#!/usr/bin/env python3
"""The installed library, moved elsewhere: find_package builds the library example against it, and the program plans.

Uses ZT_BUILD_DIR (the build folder) for `cmake --install`.
"""

import os
import subprocess
from pathlib import Path

from _checks import Checks

SOURCE = Path(os.environ.get("ZT_SOURCE_DIR", Path(__file__).resolve().parents[2]))
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES CXX)
find_package(zerotrain 0.1 REQUIRED)
add_executable(train_tiny train_tiny.cpp tiny_layers.cpp)
target_link_libraries(train_tiny PRIVATE zerotrain::zerotrain)
"""


def run(checks, name, *command, cwd=None):
    """Runs the command; its output when it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    checks.check(done.returncode == 0, name, done)
    return done


def main():
    with Checks.in_folder("package") as (checks, root):
        moved, user = root / "moved", root / "user"
        run(checks, "cmake --install", "cmake", "--install", os.environ["ZT_BUILD_DIR"], "--prefix", root / "first")
        (root / "first").rename(moved)
        user.mkdir()
        (user / "CMakeLists.txt").write_text(PROJECT)
        for file in (SOURCE / "examples" / "library").iterdir():
            if file.suffix in (".cpp", ".h"):
                (user / file.name).write_bytes(file.read_bytes())
        run(checks, "find_package finds the moved tree", "cmake", "-S", user, "-B", user / "build", "-G", "Ninja",
              f"-DCMAKE_PREFIX_PATH={moved}", "-DCMAKE_BUILD_TYPE=Release")
        run(checks, "the library example builds against it", "cmake", "--build", user / "build")
        run(checks, "and trains", user / "build" / "train_tiny")
        run(checks, "zt version of the moved tree", moved / "bin" / "zt", "version")
        plan = run(checks, "zt plan of the moved tree", moved / "bin" / "zt", "plan", "--model", "Qwen3-0.6B", "--nproc", 2,
                     "--gpu_memory", "24GB", "--bf16")
        checks.check("take: stage" in plan.stdout, "the plan marks a row")


if __name__ == "__main__":
    main()
