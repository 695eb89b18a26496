"""A process beside this one that waits for work at the other end of a pipe, and can be ended whatever it does.

`multiprocessing` would run the main module again, which Streamlit exchanges for the page that is just running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_UNKNOWN_MEMORY = 8 * 2**30
_START = """\
import json, pkgutil, sys
from multiprocessing.connection import Connection
sys.path[:] = json.loads(sys.argv[1])
pkgutil.resolve_name(sys.argv[2])(Connection(int(sys.argv[3])))
"""


class PipedProcess:
    """Runs `serve(connection)`, a function by its name such as `package.module:serve`, until the pipe is closed.

    With `is_quiet`, what it says goes nowhere. Raises `OSError` when it cannot be started.
    """

    def __init__(self, serve: str, is_quiet: bool = False) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), serve, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if is_quiet else None,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for whoever started it, with whose end the pipe's comes
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """At once, and waits for it."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()


def memory() -> int:
    """Bytes of the machine, or of the container where that has fewer."""
    limits = []
    with suppress(OSError, ValueError, AttributeError):  # other systems have other ways
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no such file, or `max`
        limits.append(int(_CGROUP.read_text()))
    return min(limits, default=_UNKNOWN_MEMORY)


def limit_memory(nbytes: int) -> None:
    """Lets this process take so much beyond what it has, where the system has such limits and says what is in use."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + nbytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: int) -> None:
    """Lets this process take so many seconds more of a processor; beyond them the system ends it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
