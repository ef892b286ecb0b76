#!/usr/bin/env python3
"""mpirun and srun over three machines: network namespaces with names, addresses and ssh servers of their own.

With and without `zt launch`, unequal machines train to the bits of one machine with as many ranks; none of our processes
listens on every interface (those of OpenMPI and Slurm do); when the runner is killed no rank is left on any machine.
Needs root, network namespaces, openssh-server and OpenMPI or Slurm; skips (77) without. Uses ZT_BINARY (default ./zt).
"""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import _guides as guides
import _machines
import _slurm
import _tiny_model as tiny
from _checks import Report, skip
from _processes import wait_until

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith((*guides.SETTINGS, "SLURM_", "OMPI_", "PMI"))}
HOSTS = "n1:2,n2:1,n3:1"


class Runs:
    """Starts a runner on n1 in a folder that all machines see."""

    def __init__(self, machines, root):
        self.machines, self.root = machines, root
        (root / "hosts").write_text("n1 slots=2\nn2 slots=1\nn3 slots=1\n", encoding="ascii")
        self.env = CLEAN | {"OMP_NUM_THREADS": "1", "HOME": str(root), "OMPI_ALLOW_RUN_AS_ROOT": "1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        self.reference = ""

    def train(self, output, steps):
        return ["train", "--model_name_or_path", self.root / "model", "--train_file_dir", self.root / "data/train",
                "--output_dir", self.root / output, "--use_cpu", "True", "--block_size", "64", "--max_steps", str(steps),
                "--logging_steps", "1", "--deepspeed", self.root / "ds.json"]

    def start(self, words, env, log):
        with open(log, "wb") as file:
            return subprocess.Popen(self.machines.inside(1, *words), env=env, cwd=self.root, stdin=subprocess.DEVNULL,
                                    stdout=file, stderr=file)

    def check_model(self, report, name, words, env, output):
        """`words` train as one machine's ranks do."""
        log = self.root / f"{output}.log"
        process = self.start([*words, *self.train(output, 2)], env, log)
        try:
            status = process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        wrong = [f"status {status}"] if status != 0 else []
        if guides.model_hash(self.root / output) != self.reference:
            wrong.append("the model differs from that of zt train --nproc 4")
        report.check(name, wrong, log.read_text(encoding="utf-8", errors="replace"))

    def ranks(self):
        """Machine and command of every rank."""
        return [(i, words) for i in range(1, 4) for _, words in self.machines.pids(i) if words.startswith(f"{ZT} train")]

    def sockets(self):
        """Of our processes, on all machines."""
        return [line.split()[3] for i in range(1, 4) for line in self.machines.sockets(i).splitlines() if '"zt"' in line or '"exe"' in line]

    def check_killed(self, report, name, words, env):
        """SIGKILL of the runner in the middle of training."""
        output = name.replace(" ", "-")
        metrics, log = self.root / output / "metrics.jsonl", self.root / f"{output}.log"
        process = self.start([*words, ZT, *self.train(output, 1_000_000)], env, log)
        wrong = []
        if wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3 or process.poll() is not None, 60):
            machines = sorted(i for i, _ in self.ranks())
            wrong += [f"ranks on machines {machines}"] if machines != [1, 1, 2, 3] else []
            sockets = self.sockets()
            wrong += [f"a rank listens on {at}" for at in sockets if not at.startswith(self.machines.subnet + ".")]
            wrong += [f"{len(sockets)} sockets of ours"] if len(sockets) < 5 else []  # Gloo on each rank, the store
            os.kill(process.pid, signal.SIGKILL)
            begun = time.monotonic()
            if not wait_until(lambda: not self.ranks(), 10):
                wrong.append(f"ranks are left: {self.ranks()}")
            print(f"     nothing left after {time.monotonic() - begun:.1f} s")
        else:
            wrong.append("the run logged no steps")
        if process.poll() is None:
            process.kill()
        process.wait()
        report.check(f"{name} is killed: no rank is left; ranks listened on their machines' addresses", wrong,
                     log.read_text(encoding="utf-8", errors="replace"))


def check_openmpi(report, runs):
    network = ["--mca", "plm_rsh_agent", f"ssh -F {runs.root / 'ssh_config'}", "--mca", "oob_tcp_if_include", "eth0"]
    mpirun = ["mpirun", *network, "--bind-to", "none", "--host", HOSTS, "-n", "4", "-x", "MASTER_ADDR=n1", "-x",
              "MASTER_PORT=29500", "-x", "OMP_NUM_THREADS"]
    runs.check_model(report, "mpirun --host n1:2,n2:1,n3:1 zt train", [*mpirun, ZT], runs.env, "mpi")
    flags = " ".join(f"'{word}'" if " " in word else word for word in network)
    launch = [ZT, "launch", "--launcher", "openmpi", "--hostfile", runs.root / "hosts", "--launcher_args", flags, "--", "zt"]
    runs.check_model(report, "zt launch --launcher openmpi --hostfile", launch, runs.env, "mpi2")
    runs.check_killed(report, "mpirun", mpirun, runs.env)


def check_slurm(report, runs):
    (runs.root / "slurm").mkdir()
    with _slurm.Slurm(runs.root / "slurm", runs.machines) as slurm:
        env = runs.env | {"SLURM_CONF": slurm.env["SLURM_CONF"]}
        srun = ["srun", "--overcommit", "-N", "3", "-n", "4"]
        runs.check_model(report, "srun -N 3 -n 4 zt train", [*srun, ZT], env, "slurm")
        launch = [ZT, "launch", "--launcher", "slurm", "--hostfile", runs.root / "hosts", "--launcher_args", "--overcommit",
                  "--", "zt"]
        runs.check_model(report, "zt launch --launcher slurm --hostfile", launch, env, "slurm2")
        runs.check_killed(report, "srun", srun, env)


def main():
    reason, has_mpi, no_slurm = _machines.why_not(), shutil.which("mpirun") is not None, _slurm.why_not()
    if not reason and not has_mpi and no_slurm:
        reason = f"no mpirun: install openmpi-bin (scripts/setup.sh --machines); {no_slurm}"
    if reason:
        skip(reason)
    with Report.in_folder("runners") as (report, root):
        tiny.make(root)
        with _machines.Machines(root, 3, subnet="10.213.9", named=True) as machines:
            runs = Runs(machines, root)
            done = subprocess.run([ZT, *map(str, runs.train("alone", 2)), "--nproc", "4"], env=runs.env, cwd=root, timeout=90,
                                  capture_output=True, text=True, check=False)
            report.check("zt train --nproc 4", [] if done.returncode == 0 else [f"status {done.returncode}"], done.stderr)
            runs.reference = guides.model_hash(root / "alone")
            if has_mpi:
                check_openmpi(report, runs)
            if not no_slurm:
                check_slurm(report, runs)


if __name__ == "__main__":
    main()
