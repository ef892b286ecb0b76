#!/usr/bin/env python3
"""Ranks started by OpenMPI and by Slurm, with and without `zt launch`: really run.

mpirun and srun start `zt train` without a wrapper; several jobs at once do not meet each other's ranks; when the runner
is killed no rank is left, of no command; our processes listen on 127.0.0.1 only (mpirun and Slurm's own listen everywhere).
Skips (77) where neither is installed. Uses ZT_BINARY (default ./zt).
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import _guides as guides
import _slurm
import _tiny_model as tiny
from _checks import Report, skip
from _processes import alive, everywhere, listening, wait_until
from launch_kills import marked

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith((*guides.SETTINGS, "SLURM_", "OMPI_", "PMI"))}


def train(root, output, steps):
    return ["train", "--model_name_or_path", root / "model", "--train_file_dir", root / "data/train", "--output_dir",
            root / output, "--use_cpu", "True", "--block_size", "64", "--max_steps", str(steps), "--logging_steps", "1",
            "--deepspeed", root / "ds.json"]


def run(words, env, timeout=90):
    done = subprocess.run(list(map(str, words)), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return done.returncode, done.stdout


def our_ranks(output):
    """pids of the ranks that write there."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"zt") and words[1:2] == [b"train"] and str(output).encode() in words:
                found.append(int(entry.name))
    return found


def check_same_model(report, name, root, words, env, output, reference):
    status, text = run(words, env)
    wrong = [f"status {status}"] if status != 0 else []
    if guides.model_hash(root / output) != reference:
        wrong.append("the model differs from that of zt train --nproc 2")
    report.check(name, wrong, text)


def check_killed(report, name, root, runner, env):
    """SIGKILL of the runner itself, in the middle of training."""
    output = root / f"{name}-killed"
    metrics = output / "metrics.jsonl"
    log = root / f"{name}.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(list(map(str, [*runner, ZT, *train(root, output.name, 1_000_000)])), env=env,
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    wrong = []
    if wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3 or process.poll() is not None, 60):
        ranks = our_ranks(output)
        sockets = listening(ranks)
        wrong += [f"{len(ranks)} ranks"] if len(ranks) != 2 else []
        wrong += [f"a rank listens on every interface, port {port}" for _, address, port in sockets if everywhere(address)]
        wrong += [] if sockets else ["no sockets were found"]
        os.kill(process.pid, signal.SIGKILL)
        if not wait_until(lambda: not our_ranks(output), 10):
            wrong.append(f"ranks are left: {our_ranks(output)}")
    else:
        wrong.append("the run logged no steps")
    if process.poll() is None:
        process.kill()
    process.wait()
    for pid in our_ranks(output):
        os.kill(pid, signal.SIGKILL)
    report.check(f"{name} is killed: no rank is left, ranks listened on 127.0.0.1", wrong, log.read_text(errors="replace"))


def check_all_end(report, root, env):
    """SIGKILL of the runner of other commands than training, and of programs that are not ours."""
    prompts = root / "prompts.txt"
    prompts.write_text("a prompt\n" * 20_000, encoding="utf-8")
    mpirun = [*MPIRUN, "-n", "2"]
    cases = {
        "mpirun zt bench": [*mpirun, ZT, "bench", "--model", root / "model", "--use_cpu", "True", "--bf16", "False", "--block_size",
                            "64", "--steps", "100000", "--warmup", "1"],
        "mpirun zt run --task predict": [*mpirun, ZT, "run", "--task", "predict", "--model_name_or_path", root / "model",
                                         "--prompts_file", prompts, "--predictions_file", root / "texts.jsonl", "--use_cpu", "True",
                                         "--max_new_tokens", "100"],
        "torchrun zt bench": [pathlib.Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc_per_node=2", "--no-python",
                              ZT, "bench", "--model", root / "model", "--use_cpu", "True", "--bf16", "False", "--block_size", "64",
                              "--steps", "100000", "--warmup", "1"],
        "zt launch --launcher openmpi, a program of Python": [
            ZT, "launch", "--launcher", "openmpi", "--num_gpus", "2", "--launcher_args", " ".join(MPIRUN[1:]), "--", "python3", "-c",
            "import time; time.sleep(600)"],
    }
    for name, words in cases.items():
        mark = f"{os.getpid()}-{name}"
        log = root / "ends.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(list(map(str, words)), env=env | {"ZT_MARK": mark}, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=file)
        ours = "sleep" if "Python" in name else ZT

        def ranks():
            found = []
            for pid in marked(mark):
                with contextlib.suppress(OSError):
                    command = pathlib.Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if pid != process.pid and "mpirun" not in command[0] and (ours in command[0] or ours in " ".join(command[1:3])):
                        found.append(pid)
            return found

        def connected():
            with contextlib.suppress(OSError):
                return sum(len(os.listdir(f"/proc/{pid}/task")) > (0 if "Python" in name else 4) for pid in ranks()) >= 2
            return False

        ready = wait_until(lambda: connected() or process.poll() is not None, 60) and process.poll() is None
        time.sleep(1)  # into the middle of it
        wrong = [] if ready and len(ranks()) >= 2 else [f"{len(ranks())} ranks"]
        os.kill(process.pid, signal.SIGKILL)
        if not wait_until(lambda: not ranks(), 10):
            wrong.append(f"left after 10 s: {ranks()}")
        process.wait()
        for pid in marked(mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        report.check(f"{name}: nothing is left when the runner is killed", wrong, log.read_text(errors="replace"))


def check_jobs_at_once(report, root, runner, env, jobs):
    started = [subprocess.Popen(list(map(str, [*runner, ZT, *train(root, f"job{i}", 2)])), env=env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for i in range(jobs)]
    results = [(process.communicate(timeout=120)[0], process.returncode) for process in started]
    wrong = [f"job {i}: status {status}" for i, (_, status) in enumerate(results) if status != 0]
    hashes = {guides.model_hash(root / f"job{i}") for i in range(jobs)}
    wrong += [] if len(hashes) == 1 else [f"{len(hashes)} different models"]
    report.check(f"{jobs} jobs of {runner[0]} at once do not meet each other", wrong, "\n".join(text for text, _ in results))


def main():
    has_mpi, no_slurm = shutil.which("mpirun") is not None, _slurm.why_not()
    if not has_mpi and no_slurm:
        skip(f"no mpirun: install openmpi-bin (scripts/setup.sh --machines); {no_slurm}")
    with Report.in_folder("runners") as (report, root):
        tiny.make(root)
        env = CLEAN | {"OMP_NUM_THREADS": "1"}
        status, text = run([ZT, *train(root, "reference", 2), "--nproc", "2"], env)
        report.check("zt train --nproc 2", [] if status == 0 else [f"status {status}"], text)
        reference = guides.model_hash(root / "reference")
        if has_mpi:
            check_same_model(report, "mpirun zt train", root, [*MPIRUN, "-n", "2", ZT, *train(root, "mpi", 2)], env, "mpi", reference)
            flags = " ".join(MPIRUN[1:])
            words = [ZT, "launch", "--launcher", "openmpi", "--num_gpus", "2", "--launcher_args", flags, "--",
                     "zt", *train(root, "mpi2", 2)]
            check_same_model(report, "zt launch --launcher openmpi", root, words, env, "mpi2", reference)
            check_killed(report, "mpirun", root, [*MPIRUN, "-n", "2"], env)
            check_jobs_at_once(report, root, [*MPIRUN, "-n", "2"], env, 3)
            check_all_end(report, root, env)
        else:
            print("skipped: OpenMPI, no mpirun: install openmpi-bin (scripts/setup.sh --machines)")
        if no_slurm:
            print(f"skipped: Slurm, {no_slurm}")
        else:
            (root / "slurm").mkdir()
            with _slurm.Slurm(root / "slurm") as slurm:
                env = slurm.env | {"OMP_NUM_THREADS": "1"}
                srun = ["srun", "--overcommit", "-n", "2"]
                check_same_model(report, "srun zt train", root, [*srun, ZT, *train(root, "slurm1", 2)], env, "slurm1", reference)
                words = [ZT, "launch", "--launcher", "slurm", "--num_gpus", "2", "--launcher_args", "--overcommit", "--",
                         "zt", *train(root, "slurm2", 2)]
                check_same_model(report, "zt launch --launcher slurm", root, words, env, "slurm2", reference)
                check_killed(report, "srun", root, srun, env)


if __name__ == "__main__":
    main()
