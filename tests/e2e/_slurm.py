"""Shared by the tests: a Slurm of one or several machines, in the foreground, in a folder of its own."""

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
    """`with Slurm(folder) as slurm`: run commands with slurm.env. Errors: OSError when it does not start.

    `machines`: named ones of _machines.py, which become the nodes; else this machine alone is.
    """

    def __init__(self, folder, machines=None):
        self.folder, self.machines = pathlib.Path(folder), machines
        self.daemons = []
        self.env = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, name, *words, on=None):
        command = [find(name), *map(str, words)]
        if self.machines and on:
            command = self.machines.inside(on, *command)
        with open(self.folder / f"{name}{on or ''}.log", "wb") as log:
            self.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env))

    def nodes(self):
        """(name, address) of each."""
        if self.machines:
            return [(f"n{i}", self.machines.address(i)) for i in range(1, self.machines.count + 1)]
        return [(socket.gethostname().split(".")[0], "127.0.0.1")]

    def sinfo(self):
        command = ["sinfo", "-h", "-o", "%D %t"]
        command = self.machines.inside(1, *command) if self.machines else command
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False).stdout.split()

    def write_configuration(self):
        folder, nodes = self.folder, self.nodes()
        name, address = nodes[0]
        ports = [free_port(), free_port()]
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        for part in ("state", *(f"spool/{node}" for node, _ in nodes)):
            (folder / part).mkdir(parents=True)
        (folder / "slurm.conf").write_text(f"""ClusterName=test
SlurmctldHost={name}({address})
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/linear
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:16
""" + "".join(f"NodeName={node} NodeAddr={at} CPUs=1 State=UNKNOWN\n" for node, at in nodes), encoding="ascii")

    def __enter__(self):
        folder = self.folder
        folder.chmod(0o755)  # munged refuses a socket below a folder that it alone may enter
        self.write_configuration()
        self.start("munged", "--force", "--foreground", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
                   f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed")
        self.start("slurmctld", "-D", "-f", folder / "slurm.conf", on=1)
        time.sleep(0.5)
        for index in range(1, len(self.nodes()) + 1):
            self.start("slurmd", "-D", "-f", folder / "slurm.conf", on=index)
        end = time.monotonic() + 20
        while self.sinfo() != [str(len(self.nodes())), "idle"]:
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
