#!/usr/bin/env python3
"""scripts/setup.sh names tools that are missing or too old before it touches anything, and quickstart.sh its wrong arguments."""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
failures = 0


def expect(name, code, part, *command, **variables):
    global failures
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60,
                          env=os.environ | variables, stdin=subprocess.DEVNULL)
    text = done.stdout + done.stderr
    good = done.returncode == code and part in text
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {name}" + ("" if good else f": exit {done.returncode}: {text}"))


def stub(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)


def main():
    setup = ROOT / "scripts" / "setup.sh"
    with tempfile.TemporaryDirectory(prefix="zt setup ") as scratch:  # a path with a space
        work = pathlib.Path(scratch)
        for tool, text, part in (
                ("cmake", "echo cmake version 3.22.1", "[setup.cmake] cmake 3.22.1 is too old: expected 3.25 or newer"),
                ("cmake", "exit 127", "[setup.cmake] no cmake is on PATH"),
                ("ninja", "echo 1.9.0", "[setup.ninja] ninja 1.9.0 is too old"),
                ("c++", "echo '#define __GNUC__ 11'", "[setup.gcc] gcc 11 is too old: expected 12"),
                ("python3", "echo 3.9.2", "[setup.python3] python3 3.9.2 is too old: expected 3.10")):
            bins = work / "bin"
            bins.mkdir(exist_ok=True)
            stub(bins, tool, text)
            expect(f"{tool}: {part}", 1, part, setup, "--no-apt", PATH=f"{bins}{os.pathsep}{os.environ['PATH']}",
                   ZT_VENV=str(work / "venv"), CXX="c++")
            (bins / tool).unlink()
        (work / "venv").mkdir()
        (work / "venv" / "mine").write_text("precious", encoding="ascii")
        expect("a folder that is no Python environment is left alone", 1, "is no Python environment", setup, "--no-apt",
               ZT_VENV=str(work / "venv"))
        expect("it is still there", 0, "precious", "cat", work / "venv" / "mine")
    expect("an unknown flag of setup.sh", 2, "got '--test'", setup, "--test")
    for steps in ("0", "-5", "many", ""):
        expect(f"--steps '{steps}'", 2, f"--steps: got '{steps}'", ROOT / "quickstart.sh", "--steps", steps)
    expect("an unknown flag of quickstart.sh", 2, "got '--gpu'", ROOT / "quickstart.sh", "--gpu")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
