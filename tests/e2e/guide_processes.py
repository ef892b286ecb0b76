#!/usr/bin/env python3
"""Processes of the guide scripts: where they listen, and that none is left when one of them dies.

Uses ZT_BINARY (default ./zt) and the torchrun beside this interpreter. torchrun's own store, in its agent process,
listens on every interface; it is not ours to change.
"""

import os
import signal

import _guides as guides
import _ports as ports
from _checks import Report
from _guides import DEEPSPEED, TORCHRUN
from _long_run import try_run

LOOPBACK = ["127.0.0.1"]


def starts(root, output, script, nodes=1):
    arguments = guides.command(script, 2, nodes, 2 // nodes, "127.0.0.1", ports.free_port())
    return [(arguments, guides.environment(root, output, NODE_RANK=str(node))) for node in range(nodes)]


def agent(script):
    return "torchrun" if script == TORCHRUN else ""


def launcher_is_killed(script):
    def act(run):
        wrong = run.socket_problems(LOOPBACK, agent(script))
        os.kill(run.nodes[0].pid, signal.SIGKILL)
        return wrong + run.end_problems()
    return act


def rank_is_killed(run):
    """Rank 1 lives on the second node: both launchers end, and both logs name it."""
    wrong = run.socket_problems(LOOPBACK, "")
    os.kill(run.ranks()[1], signal.SIGKILL)
    wrong += run.end_problems()
    last = run.logs[1].read_text(encoding="utf-8").rstrip().splitlines()[-1]
    if "first failure: rank 1, signal 9" not in last:
        wrong.append(f"the last line of node 1 is: {last}")
    if "rank 1 failed first" not in run.logs[0].read_text(encoding="utf-8"):
        wrong.append("node 0 does not name rank 1")
    return wrong


def launcher_is_told_to_end(run):
    run.nodes[0].send_signal(signal.SIGTERM)
    wrong = run.end_problems()
    if "got signal 15 (Terminated): passed on to all ranks" not in run.text():
        wrong.append("the launcher does not say that it passed the signal on")
    return wrong


def main():
    with Report.in_folder("guide") as (report, root):
        guides.make_model(root)
        for name, script, nodes, act in [
                ("zt launch is killed", DEEPSPEED, 1, launcher_is_killed(DEEPSPEED)),
                ("torchrun is killed", TORCHRUN, 1, launcher_is_killed(TORCHRUN)),
                ("a rank of the second node is killed", DEEPSPEED, 2, rank_is_killed),
                ("zt launch gets SIGTERM", DEEPSPEED, 1, launcher_is_told_to_end)]:
            output = root / name.replace(" ", "-")
            try_run(report, name, starts(root, output, script, nodes), output, act)


if __name__ == "__main__":
    main()
