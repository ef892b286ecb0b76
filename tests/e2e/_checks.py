"""Shared by the tests: PASS and FAIL lines, a folder that is gone afterwards, and the exit status."""

import contextlib
import sys
import tempfile
from pathlib import Path


class Checks:
    """PASS and FAIL lines; the exit status says whether all passed."""

    def __init__(self):
        self.failed = 0

    def check(self, passed, text, output=""):
        """`output`: text, or a finished process, to show where it did not pass."""
        print(("PASS  " if passed else "FAIL  ") + text, flush=True)
        self.failed += not passed
        if not passed:
            if hasattr(output, "returncode"):
                output = f"exit code {output.returncode}\n{output.stdout}{output.stderr}"
            print("\n".join("     | " + line for line in str(output).splitlines()[-40:]))

    @classmethod
    @contextlib.contextmanager
    def in_folder(cls, name):
        """`with Checks.in_folder("plan") as (checks, folder)`: a whole test; ends the program with its exit status."""
        checks = cls()
        with tempfile.TemporaryDirectory(prefix=f"zt-{name}-") as folder:
            yield checks, Path(folder)
        sys.exit(1 if checks.failed else 0)


class Report(Checks):
    """The same for checks that list what is wrong."""

    def check(self, name, wrong, output=""):
        super().check(not wrong, f"{name} {'; '.join(wrong)}", output)


def skip(reason):
    """Ends the program as a test that this machine cannot run."""
    print(reason)
    sys.exit(77)
