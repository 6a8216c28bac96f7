"""The agent as a process: alone in its place, closed to others, started once and gone without a trace."""

import contextlib
import fcntl
import os
import resource
import signal
import sys

from credhelper import wire
from credhelper.agent.server import MOST_CLIENTS, AgentServer, identity
from credhelper.hardening import close_memory

if sys.platform == "win32":
    raise ImportError(wire.NOT_HERE)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Final

TAKE_OVER_SECONDS: "Final" = 5


def main(arguments: list[str]) -> int:
    """Run the agent: `DIRECTORY IDLE_SECONDS`, and `detach`, or the descriptor of a socket handed over."""
    directory, idle_seconds, *rest = arguments
    if rest == ["detach"]:
        return _detach(directory, float(idle_seconds))
    return _run(directory, float(idle_seconds), int(rest[0]) if rest else None, ready=None)


def _detach(directory: str, idle_seconds: float) -> int:
    """Run it in a process of its own; returns once that one listens, or another one does."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.close(reader)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    wire.close_inherited(writer)
    _run(directory, idle_seconds, None, ready=writer)
    os._exit(0)


def _run(directory: str, idle_seconds: float, handed_over: int | None, *, ready: int | None) -> int:
    os.umask(0o077)
    os.chdir("/")
    _harden()
    lock = _lock(os.path.join(directory, wire.LOCK), take_over=handed_over is not None)
    if lock is None:  # another agent lives, and will do
        os.write(2 if ready is None else ready, b"credhelper: error: an agent is running already\n")
        return 1
    listener = _listen(os.path.join(directory, wire.SOCKET)) if handed_over is None else _adopt(handed_over)
    agent = AgentServer(listener, idle_seconds)
    signals = _catch_signals()
    if ready is not None:
        os.write(ready, b".")
        os.close(ready)
    path, ours = listener.getsockname(), identity(listener.getsockname())
    agent.run(signals)
    if handed_over is None and identity(path) == ours:
        with contextlib.suppress(OSError):
            os.unlink(path)
    os.ftruncate(lock, 0)  # the process id may be another one's soon
    return 0


def _harden() -> None:
    """No core file, no debugger, no look into our memory or environment by processes of the same user."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CLIENTS + 64
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(soft, wanted if hard < 0 else min(hard, wanted)), hard)
        )
    close_memory()


def _lock(path: str, *, take_over: bool) -> int | None:
    """The lock that an agent holds for life, with its process id in it; None where another one has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if not take_over:
            os.close(descriptor)
            return None
        # Nobody finds it any more: the socket that we were handed stands in the place of its own.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(os.pread(descriptor, 20, 0)), signal.SIGTERM)
        signal.alarm(TAKE_OVER_SECONDS)  # ends us, and whoever handed it over starts us again
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        signal.alarm(0)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _listen(path: str) -> "_socket.socket":
    """A socket that is ours alone from its birth; what a killed agent left in its place is removed."""
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
        os.write(2, b"credhelper: error: what was handed over is no Unix socket\n")
        sys.exit(2)
    return listener


def _catch_signals() -> int:
    """A descriptor that has a byte for each signal that came."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reader
