"""Processes: start them detached, find and signal programs, and close the memory of this process.

A caller that misses loads this module, and so does the agent; it imports nothing that takes milliseconds.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Iterable
    from typing import Final

KILL: "Final" = 15 if sys.platform == "win32" else 9
"""The signal that ends a process at once."""

NOT_HERE: "Final" = "there is no agent on Windows"
SECONDS: "Final" = 5.0
"""How long a caller waits for another one that is starting the agent."""


def take_start_lock(directory: str) -> int | None:
    """The descriptor of the lock under which this caller starts the agent; closing it lets others go on.

    None after waiting for another caller that was starting it. Raises OSError.
    """
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import fcntl

    lock = os.open(os.path.join(directory, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(lock, 0o600)  # whatever the umask
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        try:
            wait_for_lock(lock, SECONDS)
        finally:
            os.close(lock)
        return None


def wait_for_lock(descriptor: int, seconds: float) -> None:
    """Wait until no other process holds a lock exclusively. Raises TimeoutError.

    In a thread of its own, because flock has no time limit and an alarm is the program's.
    """
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _thread
    import fcntl

    over = _thread.allocate_lock()
    over.acquire()

    def wait() -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            pass  # the descriptor was closed: the wait is over
        over.release()

    _thread.start_new_thread(wait, ())
    if not over.acquire(timeout=seconds):
        raise TimeoutError


def send_refresher() -> None:
    """Start this same command as `renew`, detached from everything that a caller may be waiting for."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    count = len(sys.argv) - 1
    if not sys.executable or os.fork():
        return
    try:
        os.setsid()
        detach()
        interpreter = sys.orig_argv[1 : len(sys.orig_argv) - count]  # its options and the script
        os.execv(sys.executable, [sys.executable, *interpreter, "renew", *sys.argv[2:]])  # noqa: S606 - no shell
    finally:
        os._exit(127)


def detach(kept: int = -1) -> None:
    """Close all descriptors but one, since callers may wait for that; the first three become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that the list was read by


def close_memory() -> None:
    """Allow no core file of this process, and no other process of its user to read its memory or environment.

    Programs that it starts are not affected.
    """
    if sys.platform == "win32":
        return
    import ctypes

    system = ctypes.CDLL(None)
    if sys.platform == "linux":
        system.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    elif sys.platform == "darwin":
        system.ptrace(31, 0, None, 0)  # PT_DENY_ATTACH


def find(name: str, path: "str | None" = None) -> "str | None":
    """The absolute path of a program that can be executed; `path` is searched instead of $PATH."""
    import shutil

    found = shutil.which(name, path=path)
    return None if found is None else os.path.abspath(found)


def is_ignored(number: int) -> bool:
    """Whether this process ignores a signal, as under `nohup` and for `&` in a script."""
    import signal

    return signal.getsignal(number) == signal.SIG_IGN


class CaughtSignals:
    """A socket with a byte for each of these signals, whichever thread it came to. For the main thread.

    The interpreter writes the byte at once; a handler would only run once the main thread wakes up.
    """

    def __init__(self, numbers: "Iterable[int]") -> None:
        self._numbers = tuple(numbers)

    def __enter__(self) -> "socket.socket":
        import signal
        import socket

        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        # Before the handlers: a signal that one of them gets must also be a byte.
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in self._numbers}
        return self._reader

    def __exit__(self, *_: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup)
        self._writer.close()
        self._reader.close()


def signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a process that leads a session, and to what it has started; on Windows, end it."""
    if sys.platform == "win32":
        process.terminate()
        return
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended; PermissionError: sudo
