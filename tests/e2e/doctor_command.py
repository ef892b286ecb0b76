#!/usr/bin/env python3
"""`zt doctor`: one verdict a line, the same as JSON, the exit code. Uses ZT_BINARY (default ./zt)."""

import json
import os
import pathlib
import subprocess

from _checks import Checks

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
CHECKS = ("versions", "system", "host memory", "host memory bandwidth", "locked memory", "open files", "/dev/shm", "disk space",
          "disk write", "disk read", "loopback", "system clock", "Gloo all-reduce")


def run(*flags, folder):
    return subprocess.run([ZT, "doctor", *flags], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})


def main():
    with Checks.in_folder("doctor") as (checks, folder):
        done = run("--json", "report.json", folder=folder)
        lines = done.stdout.splitlines()
        report = json.loads(pathlib.Path(folder, "report.json").read_text(encoding="utf-8"))
        found = {row["check"]: row for row in report["checks"]}
        bad = [row["check"] for row in report["checks"] if row["level"] == "FAIL"]
        known = all(line[:6].strip() in ("ok", "note", "FAIL", "skip") for line in lines)
        checks.check(known and len(lines) == len(report["checks"]), "every verdict is one line and one JSON row", done)
        checks.check(all(name in found for name in CHECKS), "all checks are there", sorted(found))
        checks.check(done.returncode == (5 if bad else 0) and report["ok"] == (not bad), "the exit code says whether one failed", bad)
        gloo = found["Gloo all-reduce"]
        checks.check(gloo["level"] == "ok" and gloo["value"] > 0 and gloo["unit"] == "GB/s", f"Gloo: {gloo['text']}", done.stderr)
        checks.check(found["host memory bandwidth"]["value"] > 0.1, f"memory bandwidth: {found['host memory bandwidth']['text']}")
        checks.check(all(row["remedy"] for row in report["checks"] if row["level"] in ("note", "FAIL")), "what is not good has a remedy")
        checks.check(os.listdir(folder) == ["report.json"], "the probe file is gone", os.listdir(folder))
        done = run("--quick", "--json", "--dir", "/proc", folder=folder)
        report = json.loads(done.stdout)
        checks.check(done.returncode == 5 and not report["ok"], "a disk that cannot be written fails, with JSON on stdout", done.stdout)
        done = run("--jsno", folder=folder)
        checks.check(done.returncode == 2 and "--jsno" in done.stderr, "an unknown flag is refused", done.stderr)


if __name__ == "__main__":
    main()
