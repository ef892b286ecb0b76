#!/usr/bin/env python3
"""An installed tree, moved elsewhere: its guide script finds its own program and trains.

Uses ZT_BUILD_DIR (the build folder) for `cmake --install`.
"""

import os
import subprocess

import _guides as guides
import _ports as ports
from _checks import Report


def main():
    with Report.in_folder("install") as (report, root):
        guides.make_model(root)
        done = subprocess.run(["cmake", "--install", os.environ["ZT_BUILD_DIR"], "--prefix", str(root / "first")],
                              capture_output=True, text=True, check=False)
        report.check("cmake --install", [] if done.returncode == 0 else [f"status {done.returncode}"], done.stderr)
        moved = root / "moved"
        (root / "first").rename(moved)
        env = guides.environment(root, root / "out")
        del env["ZT"]
        arguments = guides.command(guides.DEEPSPEED, 2, 1, 1, "127.0.0.1", ports.free_port(),
                                   folder=moved / "share" / "zerotrain" / "scripts")
        results = [guides.run(arguments, env)]
        wrong = guides.problems_of(results, root / "out", None)
        if str(moved) not in results[0][1] or "bin/zt" not in results[0][1]:
            wrong.append("the script ran another zt")
        named = subprocess.run([moved / "bin" / "zt", "version"], capture_output=True, text=True, check=False)
        wrong += [] if named.returncode == 0 else [f"zt version: {named.stderr}"]
        report.check("the moved tree trains", wrong, results[0][1])


if __name__ == "__main__":
    main()
