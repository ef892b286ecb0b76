#!/usr/bin/env python3
"""`zt launch` on three machines: network namespaces with a real ssh server each.

Hostfile with slots, --include and --exclude, .deepspeed_env, machines that do not answer or whose key is not known, a
machine that dies at step 5, a launcher that is killed, real torchrun through --rdzv_*, and who listens where.
Needs root, network namespaces and openssh-server; skips (77) without them. Uses ZT_BINARY (default ./zt).
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import _guides as guides
import _tiny_model as tiny
from _checks import Report, skip
from _machines import Machines, why_not
from _processes import wait_until

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
REPORT = 'echo "rank $RANK of $WORLD_SIZE, local $LOCAL_RANK, node $NODE_RANK, devices $CUDA_VISIBLE_DEVICES, A=$A"'


class Launches:
    """Runs `zt launch` on n1 in a folder that all machines see."""

    def __init__(self, machines, root):
        self.machines, self.root = machines, root
        (root / "hosts").write_text("n1 slots=2\nn2 slots=1\n# n9 slots=8\nn3 slots=1\n", encoding="ascii")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(guides.SETTINGS)}
        bins = str(pathlib.Path(sys.executable).parent)
        self.env = kept | {"HOME": str(root), "OMP_NUM_THREADS": "1", "PATH": bins + os.pathsep + kept["PATH"]}

    def command(self, *words, hosts="hosts"):
        return self.machines.inside(1, ZT, "launch", "--hostfile", self.root / hosts, "--launcher_args",
                                    f"-F {self.root / 'ssh_config'}", *words)

    def run(self, *words, hosts="hosts", timeout=90):
        begun = time.monotonic()
        done = subprocess.run(self.command(*words, hosts=hosts), env=self.env, cwd=self.root, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout, time.monotonic() - begun

    def train(self, output, steps, *more):
        return ["zt", "train", "--model_name_or_path", self.root / "model", "--train_file_dir", self.root / "data/train",
                "--output_dir", self.root / output, "--use_cpu", "True", "--block_size", "64", "--max_steps", str(steps),
                "--logging_steps", "1", "--deepspeed", self.root / "ds.json", *more]


def check_train(report, launches):
    """Unequal machines train to the same model as one machine with as many ranks."""
    status, text, _ = launches.run("--", *launches.train("several", 3))
    wrong = [f"status {status}"] if status != 0 else []
    alone = subprocess.run([ZT, *map(str, launches.train("alone", 3, "--nproc", "4")[1:])], env=launches.env, cwd=launches.root,
                           capture_output=True, text=True, timeout=90, check=False)
    if guides.model_hash(launches.root / "several") != guides.model_hash(launches.root / "alone"):
        wrong.append(f"the model differs from that of one machine (status {alone.returncode})")
    report.check("2 + 1 + 1 slots train as 4 ranks of one machine do", wrong, text + alone.stderr)


def check_filters(report, launches):
    (launches.root / ".deepspeed_env").write_text("A=from file; $(false)\n", encoding="ascii")
    for flags, expected in [
            (["--include", "n3@n1:1"], ["n1: rank 0 of 2, local 0, node 0, devices 1", "n3: rank 1 of 2, local 0, node 1, devices 0"]),
            (["--exclude", "n1:0@n2"], ["n1: rank 0 of 2, local 0, node 0, devices 1", "n3: rank 1 of 2"]),
            (["--num_nodes", "2", "--num_gpus", "1"], ["n1: rank 0 of 2", "n2: rank 1 of 2, local 0, node 1, devices 0"])]:
        status, text, _ = launches.run(*flags, "--", "sh", "-c", REPORT)
        wrong = [f"status {status}"] if status != 0 else []
        wrong += [f"no line '{line}'" for line in expected if line not in text]
        if text.count("A=from file; $(false)") != 2:
            wrong.append("A of .deepspeed_env did not reach both machines")
        report.check(" ".join(flags), wrong, text)
    (launches.root / ".deepspeed_env").unlink()


def check_no_answer(report, launches):
    (launches.root / "bad").write_text("n1 slots=1\nabsent slots=1\nsilent slots=1\nstranger slots=1\n", encoding="ascii")
    silent = launches.machines.silent_server()
    try:
        status, text, seconds = launches.run("--connect_timeout", "5", "--", "sh", "-c", "echo started", hosts="bad")
    finally:
        silent.kill()
        silent.wait()
    wrong = [f"status {status}"] if status != 4 else []
    wrong += [f"{seconds:.0f} s"] if seconds > 15 else []
    wrong += ["a rank started"] if "started" in text else []
    for name in ("absent", "silent", "stranger"):
        if f"cannot start on {name}: " not in text:
            wrong.append(f"{name} is not named")
    if "stranger: Host key verification failed" not in text:
        wrong.append("the unknown key is not the reason")
    if "cannot start on n1" in text:
        wrong.append("n1 is blamed")
    report.check(f"three machines that cannot be used are named after {seconds:.1f} s", wrong, text)


class Training:
    """A run over all machines that would take hours."""

    def __init__(self, launches, output):
        self.launches = launches
        self.metrics = launches.root / output / "metrics.jsonl"
        self.log = launches.root / f"{output}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(launches.command("--", *launches.train(output, 1_000_000)), env=launches.env,
                                            cwd=launches.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.ready = wait_until(lambda: self.steps() >= 5 or self.process.poll() is not None, 60) and self.process.poll() is None

    def steps(self):
        return self.metrics.read_text(encoding="utf-8").count("\n") if self.metrics.exists() else 0

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def left(self):
        return [command for i in range(1, 4) for _, command in self.launches.machines.pids(i)]

    def head(self):
        """The launcher itself: `ip netns exec` becomes it."""
        return self.process.pid

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def check_launcher_killed(report, launches):
    training = Training(launches, "killed")
    wrong = [] if training.ready else ["the run logged no steps"]
    if training.ready:
        wrong += launches.machines.listening_everywhere()
        os.kill(training.head(), signal.SIGKILL)
        begun = time.monotonic()
        if not wait_until(lambda: not training.left(), 10):
            wrong.append(f"left after 10 s: {training.left()}")
        print(f"     nothing left after {time.monotonic() - begun:.1f} s")
    training.end()
    report.check("the launcher is killed: no process is left on any machine; nobody listened everywhere", wrong, training.text())


def check_machine_dies(report, launches):
    training = Training(launches, "dies")
    wrong = [] if training.ready else ["the run logged no steps"]
    if training.ready:
        launches.machines.die(2)
        begun = time.monotonic()
        if not wait_until(lambda: training.process.poll() is not None, 60):
            wrong.append("the launcher still runs 60 s later")
        elif training.process.returncode != 4:
            wrong.append(f"status {training.process.returncode}")
        seconds = time.monotonic() - begun
        if not wait_until(lambda: not training.left(), 10):
            wrong.append(f"processes are left: {training.left()}")
        last = training.text().rstrip().splitlines()[-1]
        if "first failure: n2 (rank 2)" not in last:
            wrong.append(f"the last line is: {last}")
        print(f"     ended after {seconds:.1f} s")
    training.end()
    report.check("n2 dies after step 5: the run ends and names it", wrong, training.text())


def check_torchrun(report, launches):
    """torchrun's own rendezvous on two machines, through our flags."""
    machines, port = launches.machines, 29400
    started = []
    for node in (1, 2):
        # A namespace has the host's name, by which torchrun would know whether the store is its own.
        words = [ZT, "launch", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--rdzv_id", "7",
                 "--rdzv_conf", f"is_host={int(node == 1)}",
                 "--rdzv_endpoint", f"{machines.address(1)}:{port}", "--local_addr", machines.address(node), "--",
                 *launches.train("torchrun", 3)]
        started.append(subprocess.Popen(machines.inside(node, *words), env=launches.env, cwd=launches.root, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    results = []
    for process in started:
        try:
            results.append((process.communicate(timeout=60)[0], process.returncode))
        except subprocess.TimeoutExpired:
            process.kill()
            results.append((process.communicate()[0], -9))
    wrong = [f"status {status}" for _, status in results if status != 0]
    if guides.model_hash(launches.root / "torchrun") == "no model":
        wrong.append("no model was saved")
    report.check("torchrun --nnodes 2 with its own rendezvous", wrong, "\n".join(text for text, _ in results))


def main():
    if why_not():
        skip(why_not())
    with Report.in_folder("machines") as (report, root):
        tiny.make(root)
        with Machines(root, 3) as machines:
            launches = Launches(machines, root)
            for check in (check_filters, check_no_answer, check_train, check_launcher_killed, check_torchrun, check_machine_dies):
                check(report, launches)


if __name__ == "__main__":
    main()
