#!/usr/bin/env python3
"""`zt doctor`: one verdict a line, the same as JSON, the exit code. Uses ZT_BINARY (default ./zt)."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
CHECKS = ("versions", "system", "host memory", "host memory bandwidth", "locked memory", "open files", "/dev/shm", "disk space",
          "disk write", "disk read", "loopback", "system clock", "Gloo all-reduce")


def run(*flags, folder):
    return subprocess.run([ZT, "doctor", *flags], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})


def main():
    failures = 0

    def check(name, passed, *detail):
        nonlocal failures
        print(f"{'PASS' if passed else 'FAIL'} {name}", *([] if passed else detail), sep="\n")
        failures += not passed

    with tempfile.TemporaryDirectory(prefix="zt-doctor-") as folder:
        done = run("--json", "report.json", folder=folder)
        lines = done.stdout.splitlines()
        report = json.loads(pathlib.Path(folder, "report.json").read_text(encoding="utf-8"))
        found = {row["check"]: row for row in report["checks"]}
        bad = [row["check"] for row in report["checks"] if row["level"] == "FAIL"]
        check("every verdict is one line and one JSON row", len(lines) == len(report["checks"]) and
              all(line[:6].strip() in ("ok", "note", "FAIL", "skip") for line in lines), done.stdout, done.stderr)
        check("all checks are there", all(name in found for name in CHECKS), str(sorted(found)))
        check("the exit code says whether one failed", done.returncode == (5 if bad else 0) and report["ok"] == (not bad), str(bad))
        gloo = found["Gloo all-reduce"]
        check(f"Gloo: {gloo['text']}", gloo["level"] == "ok" and gloo["value"] > 0 and gloo["unit"] == "GB/s", done.stderr)
        check(f"memory bandwidth: {found['host memory bandwidth']['text']}", found["host memory bandwidth"]["value"] > 0.1)
        check("what is not good has a remedy", all(row["remedy"] for row in report["checks"] if row["level"] in ("note", "FAIL")))
        check("the probe file is gone", os.listdir(folder) == ["report.json"], str(os.listdir(folder)))
        done = run("--quick", "--json", "--dir", "/proc", folder=folder)
        report = json.loads(done.stdout)
        check("a disk that cannot be written fails, with JSON on stdout", done.returncode == 5 and not report["ok"], done.stdout)
        done = run("--jsno", folder=folder)
        check("an unknown flag is refused", done.returncode == 2 and "--jsno" in done.stderr, done.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
