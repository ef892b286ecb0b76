"""Shared by the tests: a Slurm of one machine, in the foreground, in a folder of its own."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

from _ports import free_port

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sinfo")


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def why_not():
    missing = [program for program in NEEDED if not find(program)]
    if missing:
        return f"no {', '.join(missing)}: install slurmctld, slurmd, slurm-client and munge (scripts/setup.sh --machines)"
    return "" if os.geteuid() == 0 else "not root"


class Slurm:
    """`with Slurm(folder) as slurm`: run commands with slurm.env. Errors: OSError when it does not start."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.daemons = []
        self.env = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, name, *words):
        with open(self.folder / f"{name}.log", "wb") as log:
            self.daemons.append(subprocess.Popen([find(name), *map(str, words)], stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=log, env=self.env))

    def write_configuration(self):
        folder, name = self.folder, socket.gethostname().split(".")[0]
        ports = [free_port(), free_port()]
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        for part in ("spool", "state"):
            (folder / part).mkdir()
        (folder / "slurm.conf").write_text(f"""ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/linear
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={name} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:16
""", encoding="ascii")

    def __enter__(self):
        folder = self.folder
        folder.chmod(0o755)  # munged refuses a socket below a folder that it alone may enter
        self.write_configuration()
        self.start("munged", "--force", "--foreground", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
                   f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed")
        self.start("slurmctld", "-D", "-f", folder / "slurm.conf")
        time.sleep(0.5)
        self.start("slurmd", "-D", "-f", folder / "slurm.conf")
        end = time.monotonic() + 20
        while "idle" not in subprocess.run(["sinfo", "-h"], env=self.env, capture_output=True, text=True, check=False).stdout:
            if time.monotonic() > end:
                logs = "\n".join(path.read_text(errors="replace")[-600:] for path in folder.glob("*.log"))
                self.__exit__()
                raise OSError(f"Slurm does not start:\n{logs}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
