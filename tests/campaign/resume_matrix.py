#!/usr/bin/env python3
"""Saved at 4 ranks in stage 3, resumed at 1, 2, 3, 5 and 8 ranks, stages 0 to 3, offload on and off: the next 20 losses."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import _peer  # noqa: E402
import _resume  # noqa: E402
from _checks import Checks  # noqa: E402

SAVED, MORE = 3, 20


def main():
    with Checks.in_folder("resume_matrix") as (checks, root):
        _resume.make(root)
        full = root / "full"
        _peer.run_zt(*_resume.flags(root, full, 4, 3, "--max_steps", SAVED + MORE, "--save_steps", SAVED))
        reference = _resume.steps(full)
        for world in (1, 2, 3, 5, 8):
            for stage in range(4):
                for offload in (False, True) if stage > 0 else (False,):
                    output = root / f"w{world}s{stage}o{int(offload)}"
                    _peer.run_zt(*_resume.flags(root, output, world, stage, "--max_steps", SAVED + MORE, "--save_strategy",
                                                "no", "--resume_from_checkpoint", full / f"checkpoint-{SAVED}",
                                                offload=offload))
                    steps = _resume.steps(output)
                    worst = _resume.worst_difference(steps, reference)
                    checks.check(len(steps) == MORE and worst < 1e-6,
                                 f"{world} ranks, stage {stage}, offload {offload}: {len(steps)} losses within {worst:.1e}")


if __name__ == "__main__":
    main()
