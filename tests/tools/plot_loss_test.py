#!/usr/bin/env python3
"""The loss picture of quickstart.sh: right ends, any number of steps, steps without a loss, broken files."""

import json
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "plot_loss.py"


def plot(text):
    """Exit status and output for a metrics file with this text."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "metrics.jsonl"
        path.write_text(text, encoding="utf-8")
        result = subprocess.run([sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout, result.stderr


def lines(losses):
    return "".join(json.dumps({"step": i + 1, "loss": loss, "tokens_per_second": 10.0}) + "\n" for i, loss in enumerate(losses))


def main():
    failures = 0

    def report(good, what, detail):
        nonlocal failures
        failures += not good
        print(f"{'PASS' if good else 'FAIL'} {what}{'' if good else ': ' + str(detail)}")

    result = plot(lines([8.0 - 0.01 * i for i in range(500)]))
    report(result[0] == 0 and "8.000 at step 1" in result[1] and "step 500" in result[1], "500 falling losses", result)
    rows = [line for line in result[1].splitlines() if "|" in line]
    report(rows[0].index("*") < rows[-1].index("*"), "the first step is above and left of the last", rows)
    for count in (1, 2, 64, 65):
        result = plot(lines([1.0] * count))
        report(result[0] == 0 and f"step {count}" in result[1], f"{count} equal losses", result)
    result = plot(lines([2.0, None, 1.0]))
    report(result[0] == 0 and "last 2 steps" in result[1], "a step that is not finite is left out", result)
    for what, text in (("no steps", ""), ("a broken line", '{"step": 1'), ("a line without a loss", '{"x": 1}\n')):
        result = plot(text)
        report(result[0] == 1 and "[plot_loss]" in result[2] and "Traceback" not in result[2], what, result)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
