"""How the agent and the refresher are started: by one caller at a time, and detached from it.

`wire` loads this module on a miss only; it imports nothing that takes milliseconds.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

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
