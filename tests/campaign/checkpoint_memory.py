#!/usr/bin/env python3
"""Host memory of saves and of a resume: at most the rank's shard and 1 GiB beside what training itself has.

51 million parameters on two ranks in stage 3 (a shard is 310 MB of weights and moments). What training has is the
memory of a run that saves nothing; the others are measured from outside, 50 times a second.
"""

import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import _resume  # noqa: E402
import _tiny_model  # noqa: E402
from _checks import Checks  # noqa: E402

WORLD, VOCABULARY, HIDDEN = 2, 200_000, 256
GIB = 1 << 30


def ranks_of(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == parent and b"train" in (path / "cmdline").read_bytes():
                found.append(path)
        except (OSError, IndexError):
            continue
    return found


class Peak(threading.Thread):
    """Most anonymous memory of any rank of a process."""

    def __init__(self, process):
        super().__init__()
        self.process, self.bytes = process, 0

    def run(self):
        ranks = []
        while self.process.poll() is None:
            if len(ranks) < WORLD:
                ranks = ranks_of(self.process.pid)
            for rank in ranks:
                try:
                    for line in (rank / "status").read_text().splitlines():
                        if line.startswith("RssAnon"):
                            self.bytes = max(self.bytes, int(line.split()[1]) * 1024)
                except OSError:
                    pass
            time.sleep(0.02)


def measure(checks, name, *arguments):
    process = _resume.start_zt(*arguments)
    peak = Peak(process)
    peak.start()
    output = process.communicate(timeout=600)[0]
    peak.join()
    if process.returncode != 0:
        print(output)
    checks.check(process.returncode == 0, f"{name}: peak {peak.bytes / 1e6:.0f} MB of a rank")
    return peak.bytes


def main():
    with Checks.in_folder("checkpoint_memory") as (checks, root):
        _tiny_model.make(root)
        config = json.loads((root / "model" / "config.json").read_text())
        config |= {"vocab_size": VOCABULARY, "hidden_size": HIDDEN}
        (root / "model" / "config.json").write_text(json.dumps(config))
        shard = VOCABULARY * HIDDEN * 12 / WORLD

        def flags(output, *extra):
            return _resume.flags(root, root / output, WORLD, 3, "--from_scratch", "True", "--max_steps", 4, *extra,
                                 accumulation=1)
        base = measure(checks, "training", *flags("plain", "--save_strategy", "no"))
        for name, extra in (("blocking saves", ("--save_steps", 2)),
                            ("asynchronous saves", ("--save_steps", 2, "--async_save", "True")),
                            ("resume", ("--save_strategy", "no", "--resume_from_checkpoint",
                                        root / "blocking saves" / "checkpoint-2"))):
            more = measure(checks, name, *flags(name, *extra)) - base
            checks.check(more <= shard + GIB, f"{name}: {more / 1e6:.0f} MB more than training, shard {shard / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
