#!/usr/bin/env python3
"""The counts that ./test.sh prints are those of CTest: a missing program is a failure, a skip is a skip."""

import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "junit_counts.py"
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(counts LANGUAGES NONE)
enable_testing()
add_test(NAME good COMMAND true)
add_test(NAME good_too COMMAND true)
add_test(NAME bad COMMAND false)
add_test(NAME missing COMMAND /nonexistent/program)
add_test(NAME skip COMMAND sh -c "exit 77")
set_tests_properties(skip PROPERTIES SKIP_RETURN_CODE 77)
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
        subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", f"{folder}/b"], check=True, capture_output=True)
        subprocess.run(["ctest", "--test-dir", f"{folder}/b", "--output-junit", f"{folder}/report.xml"],
                       check=False, capture_output=True)
        result = subprocess.run([sys.executable, str(SCRIPT), f"{folder}/report.xml", f"{folder}/names"],
                                capture_output=True, text=True, check=False)
        names = (root / "names").read_text(encoding="utf-8").split("\n")
        good = (result.stdout.strip() == "2 2 1" and "failed bad" in names and "failed missing" in names
                and "skipped skip" in names)
        print("PASS" if good else f"FAIL {result.stdout} {result.stderr} {names}", "counts are CTest's")
        absent = subprocess.run([sys.executable, str(SCRIPT), f"{folder}/none.xml", f"{folder}/names"],
                                capture_output=True, check=False).returncode
        print("PASS" if absent else "FAIL", "a missing report is an error")
        return 0 if good and absent else 1


if __name__ == "__main__":
    sys.exit(main())
