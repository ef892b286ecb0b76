"""Shared by the tests: ports for launches that run at the same time."""

import random
import socket


def free_port(address="127.0.0.1"):
    """A port nobody listens on, below those that the kernel hands out to connections and to whoever asks for any."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
                return port
            except OSError:
                continue
