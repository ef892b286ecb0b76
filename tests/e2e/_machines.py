"""Shared by the tests of several machines: network namespaces as hosts, each with a real sshd on its own address."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from _checks import skip

SSHD = "/usr/sbin/sshd"
PORT = 2222


def sh(*arguments, check=True):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def why_not():
    """What this machine lacks for these tests, or nothing."""
    if os.geteuid() != 0:
        return "not root: no network namespaces"
    for program, package in (("ip", "iproute2"), (SSHD, "openssh-server"), ("ssh", "openssh-client"), ("ss", "iproute2")):
        if not shutil.which(program):
            return f"no {program}: install {package} (scripts/setup.sh --tests)"
    return ""


class Machines:
    """`with Machines(folder, 3) as m`: hosts n1, n2, n3 on one switch; n<i> has the address m.address(i). Skips the test where
    they cannot be.

    With `named` each has its name as host name too, and all know each other's.
    """

    def __init__(self, folder, count, subnet="10.213.8", named=False):
        self.folder, self.count, self.subnet, self.named = pathlib.Path(folder), count, subnet, named
        self.prefix = f"z{os.getpid()}"
        self.servers = []

    def name(self, index):
        return f"{self.prefix}n{index}"

    def address(self, index):
        return f"{self.subnet}.{index}"

    def inside(self, index, *command):
        """A command that runs on machine `index`."""
        if not self.named:
            return ["ip", "netns", "exec", self.name(index), *map(str, command)]
        # As above, but /sys stays: slurmd looks for control groups there.
        hosts = f'mount --bind {self.folder}/hosts_file /etc/hosts && exec "$@"'
        return ["nsenter", f"--uts={self.folder}/uts{index}", f"--net=/run/netns/{self.name(index)}", "unshare", "--mount", "sh",
                "-c", hosts, "-", *map(str, command)]

    def __enter__(self):
        try:
            self.make_switch()
            self.make_keys()
            if self.named:
                self.make_names()
            for index in range(1, self.count + 1):
                self.start_sshd(index)
        except OSError as error:
            self.__exit__()
            skip(f"no machines here: {error}")
        return self

    def make_switch(self):
        switch = f"{self.prefix}s"
        for name in [switch, *(self.name(i) for i in range(1, self.count + 1))]:
            sh("ip", "netns", "add", name)
        sh("ip", "-n", switch, "link", "add", "name", "sw0", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "sw0", "up")
        for i in range(1, self.count + 1):
            name = self.name(i)
            sh("ip", "link", "add", "name", "eth0", "netns", name, "type", "veth", "peer", "name", f"p{i}", "netns", switch)
            sh("ip", "-n", switch, "link", "set", f"p{i}", "master", "sw0", "up")
            sh("ip", "-n", name, "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                sh("ip", "-n", name, "link", "set", link, "up")

    def make_names(self):
        """A host name each, and all of them in the /etc/hosts that commands see."""
        hosts = "127.0.0.1 localhost\n" + "".join(f"{self.address(i)} n{i}\n" for i in range(1, self.count + 1))
        (self.folder / "hosts_file").write_text(hosts, encoding="ascii")
        for index in range(1, self.count + 1):
            place = self.folder / f"uts{index}"
            place.touch()
            sh("unshare", f"--uts={place}", "hostname", f"n{index}")

    def make_keys(self):
        for key in ("host", "user"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / f"{key}_key")
        public = (self.folder / "host_key.pub").read_text(encoding="ascii").split()[:2]
        known = [f"[{self.address(i)}]:{PORT} {' '.join(public)}" for i in range(1, self.count + 1)]
        (self.folder / "known_hosts").write_text("\n".join(known) + "\n", encoding="ascii")
        (self.folder / "nobody_known").write_text("", encoding="ascii")
        hosts = [(f"n{i}", i, "known_hosts") for i in range(1, self.count + 1)]
        hosts += [("stranger", 1, "nobody_known"), ("absent", 99, "known_hosts"), ("silent", 1, "known_hosts")]
        text = "".join(f"Host {name}\n  HostName {self.address(i)}\n  Port {2200 if name == 'silent' else PORT}\n"
                       f"  UserKnownHostsFile {self.folder}/{known}\n" for name, i, known in hosts)
        text += f"Host *\n  User root\n  IdentityFile {self.folder}/user_key\n  StrictHostKeyChecking yes\n"
        (self.folder / "ssh_config").write_text(text, encoding="ascii")

    def start_sshd(self, index):
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
        config = self.folder / f"sshd{index}"
        config.write_text(
            f"ListenAddress {self.address(index)}\nPort {PORT}\nHostKey {self.folder}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/user_key.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin yes\n", encoding="ascii")
        with open(self.folder / f"sshd{index}.log", "wb") as log:
            self.servers.append(subprocess.Popen(self.inside(index, SSHD, "-D", "-e", "-f", config), stdin=subprocess.DEVNULL,
                                                 stdout=log, stderr=log))
        end = time.monotonic() + 10
        while f":{PORT}" not in self.sockets(index):
            if time.monotonic() > end or self.servers[-1].poll() is not None:
                raise OSError(f"sshd does not start: {(self.folder / f'sshd{index}.log').read_text()}")
            time.sleep(0.05)

    def sockets(self, index):
        """What `ss -ltnp` shows there."""
        return sh(*self.inside(index, "ss", "-H", "-ltnp"))

    def listening_everywhere(self, exempt=""):
        """Lines of ss, on any machine, of a socket on every interface."""
        wrong = []
        for index in range(1, self.count + 1):
            for line in self.sockets(index).splitlines():
                local = line.split()[3]
                if local.rsplit(":", 1)[0] in ("0.0.0.0", "[::]", "*") and not (exempt and exempt in line):
                    wrong.append(f"n{index}: {line}")
        return wrong

    def pids(self, index):
        """Living processes there, the ssh server itself left out."""
        found = []
        for word in sh("ip", "netns", "pids", self.name(index), check=False).split():
            with contextlib.suppress(OSError):
                command = pathlib.Path("/proc", word, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = pathlib.Path("/proc", word, "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and "sshd" not in command:
                    found.append((int(word), command))
        return found

    def die(self, index):
        """All processes of the machine end without a word, and its cable is cut."""
        sh("ip", "-n", self.name(index), "link", "set", "eth0", "down")
        for word in sh("ip", "netns", "pids", self.name(index)).split():
            with contextlib.suppress(OSError):
                os.kill(int(word), signal.SIGKILL)

    def silent_server(self):
        """Accepts connections on n1's port 2200 and never says a word: a process that the caller ends."""
        program = (f"import socket,time\ns=socket.socket()\ns.bind(('{self.address(1)}',2200))\ns.listen(8)\n"
                   "print('up',flush=True)\ntime.sleep(600)")
        server = subprocess.Popen(self.inside(1, "python3", "-c", program), stdout=subprocess.PIPE, text=True)
        server.stdout.readline()
        return server

    def __exit__(self, *_):
        for name in [f"{self.prefix}s", *(self.name(i) for i in range(1, self.count + 1))]:
            for word in sh("ip", "netns", "pids", name, check=False).split():
                with contextlib.suppress(OSError):
                    os.kill(int(word), signal.SIGKILL)
            sh("ip", "netns", "del", name, check=False)
        for place in self.folder.glob("uts*"):
            sh("umount", place, check=False)
        for server in self.servers:
            server.wait()
