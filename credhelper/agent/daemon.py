"""The agent as a process: its lock, its socket, its signals, and what it closes to other processes."""

import contextlib
import fcntl
import os
import resource
import signal
import sys

from credhelper import processes, wire
from credhelper.agent.server import MOST_CLIENTS, AgentServer, identity
from credhelper.processes import close_memory

if sys.platform == "win32":
    raise ImportError(wire.NOT_HERE)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Final

TAKE_OVER_SECONDS: "Final" = 5


def main(arguments: list[str]) -> int:
    """Run the agent: DIRECTORY IDLE_SECONDS, and `detach` or the number of a listening socket."""
    directory, idle_seconds, *rest = arguments
    if rest == ["detach"]:
        return _detach(directory, float(idle_seconds))
    return _run(directory, float(idle_seconds), int(rest[0]) if rest else None, ready=None)


def _detach(directory: str, idle_seconds: float) -> int:
    """Run the agent in a child process; returns once it listens, or another agent does."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.close(reader)
    processes.detach(writer)
    _run(directory, idle_seconds, None, ready=writer)
    os._exit(0)


def _run(directory: str, idle_seconds: float, handed_over: int | None, *, ready: int | None) -> int:
    os.umask(0o077)
    os.chdir("/")
    _harden()
    lock = _lock(os.path.join(directory, wire.LOCK), take_over=handed_over is not None)
    if lock is None:
        os.write(2 if ready is None else ready, b"credhelper: error: an agent is running already\n")
        return 1
    listener = _listen(os.path.join(directory, wire.SOCKET)) if handed_over is None else _adopt(handed_over)
    agent = AgentServer(listener, idle_seconds)
    signals = _catch_signals()
    if ready is not None:
        os.write(ready, b".")
        os.close(ready)
    path = listener.getsockname()
    before = identity(path)
    agent.run(signals)
    if handed_over is None and identity(path) == before:
        with contextlib.suppress(OSError):
            os.unlink(path)
    os.ftruncate(lock, 0)  # the system may give this process id to another program
    return 0


def _harden() -> None:
    """Allow no core file and no access to memory, and as many descriptors as there may be clients."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CLIENTS + 64 if hard < 0 else min(hard, MOST_CLIENTS + 64)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    close_memory()


def _lock(path: str, *, take_over: bool) -> int | None:
    """The lock that an agent holds for life, with its process id; None if another agent has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if not take_over:
            os.close(descriptor)
            return None
        # The socket handed over has replaced its own, so no caller finds it any more.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(os.pread(descriptor, 20, 0)), signal.SIGTERM)
        signal.alarm(TAKE_OVER_SECONDS)  # ends this process; the supervisor starts it again
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        signal.alarm(0)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _listen(path: str) -> "_socket.socket":
    """A socket that is private from its creation; the one that a killed agent left is removed."""
    import _socket

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    before = os.umask(0o177)
    listener.bind(path)
    os.umask(before)
    listener.listen(4096)
    return listener


def _adopt(descriptor: int) -> "_socket.socket":
    import _socket

    os.set_inheritable(descriptor, False)
    listener = _socket.socket(fileno=descriptor)
    if listener.family != _socket.AF_UNIX:
        os.write(2, b"credhelper: error: the descriptor handed over is not a Unix socket\n")
        sys.exit(2)
    return listener


def _catch_signals() -> int:
    """A descriptor with a byte for each signal received."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # before the handlers: a signal that one of them gets must also be a byte
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reader
