#!/usr/bin/env python3
"""Every shell script parses, and shellcheck (where it is installed) finds nothing in the guide scripts."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ["guide_common.sh", "deepspeed_multi_node_multi_gpu.sh", "deepspeed_muti_node_muti_gpu.sh",
          "torchrun_multi_node_multi_gpu.sh", "install_deepspeed.sh", "launch_deepspeed.sh"]


def main():
    failures = 0
    commands = [["bash", "-n", str(path)] for path in sorted([*ROOT.glob("*.sh"), *ROOT.glob("scripts/*.sh")])]
    if shutil.which("shellcheck"):
        commands.append(["shellcheck", "-x", "-P", "SCRIPTDIR", "-P", str(ROOT), *(str(ROOT / "scripts" / g) for g in GUIDES)])
    else:
        print("shellcheck is not installed: scripts are parsed only")
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"FAIL {' '.join(command)}\n{done.stdout}{done.stderr}")
            failures += 1
    print(f"{len(commands)} checks, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
