"""Shared by the end-to-end tests: living processes, their ranks and their listening sockets, as /proc shows them."""

import contextlib
import os
import pathlib
import re
import time


def descendants(pid):
    """All living processes below pid, zombies left out."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path("/proc", entry, "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                if stat[0] != "Z":
                    children.setdefault(int(stat[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def rank_of(pid):
    """The RANK variable of a process, or None."""
    with contextlib.suppress(OSError):
        for part in pathlib.Path("/proc", str(pid), "environ").read_bytes().split(b"\0"):
            if part.startswith(b"RANK="):
                return int(part[5:])
    return None


def alive(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc", str(pid), "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_until(condition, seconds):
    """True as soon as the condition holds, False when it does not within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def listening(pids):
    """(pid, address, port) of every TCP socket that one of the processes listens on. Addresses as /proc writes them."""
    found = []
    for pid in pids:
        inodes = set()
        with contextlib.suppress(OSError):
            for link in pathlib.Path("/proc", str(pid), "fd").iterdir():
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
                    if match:
                        inodes.add(match[1])
            for name in ("tcp", "tcp6"):
                for line in pathlib.Path("/proc", str(pid), "net", name).read_text(encoding="ascii").splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and fields[9] in inodes:
                        address, port = fields[1].split(":")
                        found.append((pid, address, int(port, 16)))
    return found


def everywhere(address):
    """True for 0.0.0.0 and ::, in the form of `listening`."""
    return not address.strip("0")
