"""The agent's server: one process a user, one thread, that serves requests over a Unix socket.

It knows bytes, keys and thresholds, nothing of AWS, the configuration or keyrings, and starts nothing itself.
It starts with the first caller that needs it and exits when it has been empty and idle for a while. The
protocol is in `agent/__init__.py`, the rules are in `memory.py`, the process in `daemon.py`.
"""

import contextlib
import errno
import os
import selectors
import signal
import sys
import time

from credhelper import clocks, wire
from credhelper.agent.memory import MOST, Memory
from credhelper.agent.requests import Request

if sys.platform == "win32":
    raise ImportError(wire.NOT_HERE)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any, Final

MOST_CLIENTS: "Final" = 4000
REQUEST_SECONDS: "Final" = 5.0
LONGEST_SLEEP: "Final" = 86400.0
"""Seconds. epoll takes 24 days at most, and with a clock that begins in 1970 an entry lasts for decades."""

BLOCK: "Final" = 65536
TRY_AGAIN: "Final" = 1.0
"""Seconds until it accepts connections again after the system ran out of descriptors or memory."""


class Client:
    """One connection: `inbox` has the start of its next request, `outbox` the answers it has not read yet."""

    __slots__ = ("_agent", "ends", "inbox", "outbox", "peer")

    def __init__(self, agent: "AgentServer", peer: "_socket.socket") -> None:
        self._agent = agent
        self.peer = peer
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.ends = 0.0  # when it is closed, unless a whole request has come

    def fileno(self) -> int:
        """The descriptor, for `selectors`."""
        return self.peer.fileno()

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        """Queue an answer, and send as much as the socket takes."""
        head = f"{word} {number} {len(body)}\n".encode("ascii")
        if self._agent.reserve(self, len(head) + len(body)):
            self.outbox += head
            self.outbox += body
            self._agent.send(self)


class AgentServer:
    """Serves one listening socket until it is stopped, replaced or idle for too long."""

    def __init__(self, listener: "_socket.socket", idle_seconds: float) -> None:
        self._listener: Any = listener
        self._path = listener.getsockname()
        self._file = identity(self._path)
        self._idle_seconds = idle_seconds
        self._memory = Memory(clocks.read)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[Client, None] = {}  # ordered by `ends`
        self._broken: list[Client] = []
        self._boxed = 0  # bytes in all inboxes and outboxes
        self._received = memoryview(bytearray(BLOCK))
        self._accepting = False
        self._listen_again = float("inf")
        self._ending = False
        self._idle_since = time.monotonic()
        self._ticked = self._idle_since
        listener.setblocking(False)
        self._listen(wanted=True)

    def run(self, signals: int | None = None) -> None:
        """Serve until it is time to exit. `signals` is a descriptor with a byte for each signal received."""
        if signals is not None:
            self._selector.register(signals, selectors.EVENT_READ)
        while not self._ending:
            for found, events in self._selector.select(self._timeout()):
                if found.fileobj is self._listener:
                    self._accept_client()
                elif isinstance(found.fileobj, Client):
                    self._handle(found.fileobj, events)
                else:
                    self._handle_signals(os.read(found.fd, BLOCK))
            self._tick()
        self._close()

    def _timeout(self) -> float:
        """Seconds until the next deadline; without clients, an expiry or the end of the idle time."""
        now = time.monotonic()
        expiry = self._memory.expire()
        due = [self._idle_since + self._idle_seconds if expiry is None else now + expiry]
        if self._memory.is_busy:
            due.append(self._ticked + 1.0)
        due.extend(client.ends for client in [*self._clients][:1])
        due.append(self._listen_again)
        return max(0.0, min(LONGEST_SLEEP, min(due) - now))

    def _tick(self) -> None:
        """Do what is due: repeat `wait`, close slow clients, accept again, exit."""
        now = time.monotonic()
        if len(self._memory) or self._memory.is_busy:
            self._idle_since = now
        if self._memory.is_busy and now - self._ticked >= 1.0:
            self._ticked = now
            self._memory.tick()
        while (client := next(iter(self._clients), None)) is not None and client.ends <= now:
            if self._memory.holds(client) or self._memory.waits(client):
                self._give_time(client)
            else:
                self._drop(client)
        while self._broken:
            self._drop(self._broken.pop())
        if now >= self._listen_again:
            self._listen_again = float("inf")
            self._listen(wanted=len(self._clients) < MOST_CLIENTS)
        # Replaced by another socket, it cannot be found any more.
        self._ending |= now - self._idle_since >= self._idle_seconds or identity(self._path) != self._file

    def _handle_signals(self, numbers: bytes) -> None:
        if signal.SIGHUP in numbers:
            self._memory.clear(())
        self._ending |= signal.SIGTERM in numbers or signal.SIGINT in numbers

    def _close(self) -> None:
        self._memory.clear(())
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()

    def _listen(self, *, wanted: bool) -> None:
        """Accept connections, or leave them in the queue until there are descriptors again."""
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _accept_client(self) -> None:
        import _socket

        try:
            descriptor, _ = self._listener._accept()  # noqa: SLF001 - as socket.py does
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._listen(wanted=False)
                self._listen_again = time.monotonic() + TRY_AGAIN
            return
        peer = _socket.socket(fileno=descriptor)
        if not _is_own_user(peer):
            peer.close()
            return
        peer.setblocking(False)
        client = Client(self, peer)
        self._selector.register(client, selectors.EVENT_READ)
        self._give_time(client)
        if len(self._clients) >= MOST_CLIENTS:
            self._listen(wanted=False)

    def _give_time(self, client: Client) -> None:
        self._clients.pop(client, None)
        self._clients[client] = None
        client.ends = time.monotonic() + REQUEST_SECONDS

    def _handle(self, client: Client, events: int) -> None:
        if client not in self._clients:
            return
        if events & selectors.EVENT_WRITE:
            self.send(client)
        if events & selectors.EVENT_READ:
            self._receive(client)
        self._serve(client)

    def _receive(self, client: Client) -> None:
        try:
            count = client.peer.recv_into(self._received)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if self.reserve(client, count):
            before = client.inbox
            client.inbox = before + self._received[:count]  # growing in place may leave a copy behind
            before[:] = bytes(len(before))
        self._received[:count] = bytes(count)
        if not count or len(client.inbox) > wire.LONGEST_LINE + wire.LARGEST_BODY + BLOCK:
            self._broken.append(client)

    def reserve(self, client: Client, count: int) -> bool:
        """Count bytes for a box of this client; False if all boxes are full, and the connection is closed."""
        if self._boxed + count > MOST:
            self._broken.append(client)
            return False
        self._boxed += count
        return True

    def send(self, client: Client) -> None:
        """Send as much of the outbox as the socket takes."""
        try:
            count = client.peer.send(client.outbox)
        except BlockingIOError:
            count = 0
        except OSError:
            self._broken.append(client)
            return
        client.outbox[:count] = bytes(count)
        del client.outbox[:count]
        self._boxed -= count
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.outbox else 0)
        with contextlib.suppress(KeyError):
            if self._selector.get_key(client).events != wanted:
                self._selector.modify(client, wanted)

    def _drop(self, client: Client) -> None:
        if client not in self._clients:
            return
        del self._clients[client]
        self._selector.unregister(client)
        client.peer.close()
        for box in (client.inbox, client.outbox):
            self._boxed -= len(box)
            box[:] = bytes(len(box))
        self._memory.gone(client)
        self._listen(wanted=True)

    def _serve(self, client: Client) -> None:
        """Do what the client asks for, one request after the other, as long as it reads the answers."""
        try:
            while not client.outbox and not self._memory.waits(client) and self._do_next(client):
                self._give_time(client)
        except (ValueError, IndexError):
            self._broken.append(client)  # not the protocol

    def _do_next(self, client: Client) -> bool:
        """Do the first request of the inbox; False where it is not complete yet. Raises ValueError."""
        end = client.inbox.find(b"\n", 0, wire.LONGEST_LINE)
        if end < 0:
            if len(client.inbox) >= wire.LONGEST_LINE:
                raise ValueError
            return False
        request = Request(self._memory, client, bytes(client.inbox[:end]))
        size = end + 1 + request.length
        if len(client.inbox) < size:
            return False
        body = client.inbox[end + 1 : size]
        client.inbox[:size] = bytes(size)
        del client.inbox[:size]
        self._boxed -= size
        request.run(body)
        self._ending |= request.verb == b"stop"
        return True


def _is_own_user(peer: "_socket.socket") -> bool:
    try:
        return wire.uid_of(peer) == os.geteuid()
    except OSError:  # it is closed already
        return False


def identity(path: str) -> tuple[int, int] | None:
    """The file at a path, by device and inode."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
