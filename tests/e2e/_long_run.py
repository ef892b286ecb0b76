"""A run of the guide scripts that would take hours: its processes, sockets and output, and how it ends."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import _guides as guides
from _processes import alive, descendants, everywhere, listening, rank_of, wait_until

START_S, END_S = 90, 45


class LongRun:
    """`starts`: command and environment of each node; `output`: OUTPUT_DIR of node 0."""

    def __init__(self, starts, output):
        self.metrics = pathlib.Path(output) / "metrics.jsonl"
        self.logs, self.nodes = [], []
        for node, (arguments, env) in enumerate(starts):
            log = pathlib.Path(f"{output}-node{node}.log")
            with open(log, "wb") as file:
                self.nodes.append(subprocess.Popen(arguments, env=env | {"MAX_STEPS": "1000000"}, stdin=subprocess.DEVNULL,
                                                   stdout=file, stderr=file))
            self.logs.append(log)
        self.pids = []

    def wait_for_steps(self, count):
        """False when the run ended or stood still instead."""
        def ready():
            return self.metrics.exists() and self.metrics.read_text(encoding="utf-8").count("\n") >= count
        wait_until(lambda: ready() or self.ended(), START_S)
        self.pids = [pid for node in self.nodes for pid in [node.pid, *descendants(node.pid)]]
        return ready() and not self.ended()

    def ended(self):
        return any(node.poll() is not None for node in self.nodes)

    def ranks(self):
        """pid by RANK, of the programs that train."""
        found = {rank_of(pid): pid for pid in self.pids if rank_of(pid) is not None and "train" in _command(pid)[1:2]}
        return found

    def socket_problems(self, addresses, exempt):
        """Sockets that listen where they should not. `addresses`: where ours may; `exempt`: the name of a program that may."""
        allowed = {_as_proc(address) for address in addresses}
        ours = [pid for pid in self.pids if not exempt or not any(part.endswith("/" + exempt) for part in _command(pid))]
        sockets = listening(ours)
        wrong = [f"pid {pid} listens on {'every interface' if everywhere(address) else address}, port {port}"
                 for pid, address, port in sockets if address not in allowed]
        if len({pid for pid, _, _ in sockets} & set(self.ranks().values())) < 2:
            wrong.append("the sockets of the ranks were not found")
        return wrong

    def end_problems(self, nodes=None):
        """What is wrong with how the run ends by itself now."""
        watched = self.nodes if nodes is None else nodes
        begun = time.monotonic()
        wrong = []
        if not wait_until(lambda: all(n.poll() is not None for n in watched), END_S):
            wrong.append(f"a launcher still runs {END_S} s later")
        wrong += [f"node {i} reported success" for i, n in enumerate(watched) if n.poll() == 0]
        if not wait_until(lambda: not any(map(alive, self.pids)), END_S):
            wrong.append(f"processes are left: {[_command(p) for p in self.pids if alive(p)]}")
        print(f"     ended with {[n.poll() for n in watched]} after {time.monotonic() - begun:.1f} s")
        return wrong

    def text(self):
        return "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in self.logs)

    def clean_up(self):
        for pid in self.pids + [p for node in self.nodes for p in [node.pid, *descendants(node.pid)]]:
            if alive(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for node in self.nodes:
            node.wait()


def try_run(report, name, starts, output, act):
    """Starts a run, waits for steps, lets `act(run)` do its worst and report what is wrong."""
    run = LongRun(starts, output)
    try:
        wrong = act(run) if run.wait_for_steps(guides.STEPS) else ["the run logged no steps"]
        report.check(name, wrong, run.text())
    finally:
        run.clean_up()


def _command(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _as_proc(address):
    """10.0.0.1 as /proc/net/tcp writes it."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
