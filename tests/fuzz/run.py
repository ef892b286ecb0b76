#!/usr/bin/env python3
"""Runs every fuzz program of a build for some seconds each, from its committed corpus.

    run.py <folder of the programs> --seconds 60 [--only NAME]

Exits non-zero when one finds a crash, a leak, an endless loop or more than 2 GiB of memory; the input is kept under
<folder>/findings. What was learned on the way is not kept.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile


def run(program, corpus, seconds, findings):
    findings.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as learned:
        command = [program, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=65536",
                   "-print_final_stats=1", f"-artifact_prefix={findings}/{program.name}-", learned, corpus]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False,
                                timeout=seconds + 600)
    runs = re.search(r"number_of_executed_units: *(\d+)", result.stderr)
    executed = int(runs[1]) if runs else 0
    good = result.returncode == 0 and executed > 0
    print(f"{'PASS' if good else 'FAIL'} {program.name}: {executed} inputs in {seconds} s")
    if not good:
        print(result.stderr[-6000:])
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    programs = sorted(arguments.folder.glob(f"{arguments.only or '*'}_fuzz"))
    if not programs:
        sys.exit(f"[fuzz.run] no fuzz programs in {arguments.folder}. Build the preset cpu-fuzz.")
    corpus = pathlib.Path(__file__).parent / "corpus"
    results = [run(program, corpus / program.name.removesuffix("_fuzz"), arguments.seconds,
                   arguments.folder / "findings") for program in programs]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
