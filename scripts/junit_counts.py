#!/usr/bin/env python3
"""Counts CTest's JUnit report: prints `passed failed skipped`, writes `failed NAME` and `skipped NAME` lines.

Usage: junit_counts.py REPORT.xml NAMES_FILE
"""

import sys
import xml.etree.ElementTree as ElementTree


def count(report):
    """Names of passed, failed and skipped tests. CTest marks them run, fail and notrun or disabled."""
    names = {"run": [], "fail": [], "notrun": [], "disabled": []}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        names[case.get("status")].append(case.get("name"))
    # A program that is not there is `notrun` too; that is a failure and not a skip.
    missing = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.get("status") == "notrun" and skipped is not None and "SKIP" not in skipped.get("message", ""):
            missing.append(case.get("name"))
    skipped = [n for n in names["notrun"] + names["disabled"] if n not in missing]
    return names["run"], names["fail"] + missing, skipped


def main():
    try:
        passed, failed, skipped = count(sys.argv[1])
    except (OSError, ElementTree.ParseError, KeyError) as error:
        print(f"[test.junit] cannot count {sys.argv[1]}: {error}", file=sys.stderr)
        return 1
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.writelines(f"failed {name}\n" for name in failed)
        out.writelines(f"skipped {name}\n" for name in skipped)
    print(len(passed), len(failed), len(skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
