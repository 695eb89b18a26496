"""Decoders that break, in a module without torch, as the process that decodes has none."""

import os
from contextlib import suppress
from multiprocessing.connection import Connection

from explorer.pictures import isolated
from explorer.processes import limit_memory, limit_time


def dying(pipe: Connection) -> None:
    """As a decoder does that writes where it may not."""
    pipe.recv_bytes()
    os._exit(139)


def hungry(pipe: Connection) -> None:
    """Takes more memory than a picture may."""
    limit_memory(isolated.MEMORY_MIB * 2**20)
    pipe.recv_bytes()
    with suppress(MemoryError):
        bytearray((isolated.MEMORY_MIB + 64) * 2**20)
        isolated._send(pipe, refusal="It got the memory.")


def busy(pipe: Connection) -> None:
    """Never comes to an end."""
    limit_time(1)
    pipe.recv_bytes()
    while True:
        pass
