"""Other programs and signals: find a program, end a process group, read the signals of this process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator

KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


def find(name: str, path: str | None = None) -> str | None:
    """The absolute path of a program that can be executed; `path` is searched instead of $PATH."""
    found = shutil.which(name, path=path)
    return None if found is None else os.path.abspath(found)


def is_ignored(number: int) -> bool:
    """Whether this process ignores a signal, as under `nohup` and for `&` in a script."""
    return signal.getsignal(number) == signal.SIG_IGN


@contextlib.contextmanager
def caught(numbers: Iterable[int]) -> Iterator[socket.socket]:
    """A socket with a byte for each of these signals, whichever thread it came to. For the main thread.

    The interpreter writes the byte at once; a handler would only run once the main thread wakes up.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        writer.close()
        reader.close()


if sys.platform == "win32":

    def signal_group(process: subprocess.Popen[bytes], number: int) -> None:  # noqa: ARG001 - Windows has none
        """End a process."""
        process.terminate()

else:

    def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal to a process that leads a session, and to what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: sudo
            os.killpg(process.pid, number)
