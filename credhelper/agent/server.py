"""The agent: one process a user, one thread, that remembers what was minted and lets one caller mint.

It knows bytes, keys and instants, nothing of AWS, of the configuration or of keyrings, and it does nothing
that nobody asked for. It comes with the first caller that needs it and leaves when it has had nothing to
remember for a while. `wire.py` has the protocol, `memory.py` the rules, `daemon.py` the process; here are the
sockets.
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
from credhelper.clocks import ExpiryThresholds

if sys.platform == "win32":
    raise ImportError(wire.NOT_HERE)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any, Final

    from credhelper.agent.memory import Grant

MOST_CLIENTS: "Final" = 4000
REQUEST_SECONDS: "Final" = 5.0
LONGEST_SLEEP: "Final" = 86400.0
"""Seconds; epoll takes 24 days at most, and a clock that begins in 1970 makes an entry last for decades."""

BLOCK: "Final" = 65536
TRY_AGAIN: "Final" = 1.0
"""Seconds after which it listens again where the system had no descriptor or memory for a connection."""


class Client:
    """One connection. `inbox` is what it has sent of its next request, `outbox` what it has not read yet."""

    __slots__ = ("_agent", "ends", "inbox", "outbox", "peer")

    def __init__(self, agent: "AgentServer", peer: "_socket.socket") -> None:
        self._agent = agent
        self.peer = peer
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.ends = 0.0  # when its time for the next request is over

    def fileno(self) -> int:
        """For select."""
        return self.peer.fileno()

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        """Queue an answer, and send what the socket takes."""
        head = f"{word} {number} {len(body)}\n".encode("ascii")
        if self._agent.has_room(self, len(head) + len(body)):
            self.outbox += head
            self.outbox += body
            self._agent.send(self)


class AgentServer:
    """Listens until it has no more reason to."""

    def __init__(self, listener: "_socket.socket", idle_seconds: float) -> None:
        self._listener: Any = listener
        self._path = listener.getsockname()
        self._identity = identity(self._path)
        self._idle_seconds = idle_seconds
        self._memory = memory = Memory(clocks.read)
        self._of_leases = {b"open": memory.open, b"drop": memory.drop, b"asking": memory.asking}
        self._selector = selectors.DefaultSelector()
        self._clients: dict[Client, None] = {}  # the one whose time is over first comes first
        self._broken: list[Client] = []
        self._boxed = 0  # bytes in all inboxes and outboxes
        self._received = memoryview(bytearray(BLOCK))
        self._accepting = False
        self._listen_again = float("inf")
        self._leaving = False
        self._idle_since = time.monotonic()
        self._ticked = self._idle_since
        listener.setblocking(False)
        self._accept(wanted=True)

    # -- the loop

    def run(self, signals: int | None = None) -> None:
        """Serve until told to leave. `signals` is a descriptor that says which signals have come."""
        if signals is not None:
            self._selector.register(signals, selectors.EVENT_READ)
        while not self._leaving:
            for found, events in self._selector.select(self._timeout()):
                if found.fileobj is self._listener:
                    self._welcome()
                elif isinstance(found.fileobj, Client):
                    self._attend(found.fileobj, events)
                else:
                    self._obey(os.read(found.fd, BLOCK))
            self._look_after()
        self._leave()

    def _timeout(self) -> float:
        """Seconds until something is due of itself; with nobody connected, that is an expiry or our end."""
        now = time.monotonic()
        expiry = self._memory.expire()
        due = [self._idle_since + self._idle_seconds if expiry is None else now + expiry]
        if self._memory.is_busy:
            due.append(self._ticked + 1.0)
        due.extend(client.ends for client in [*self._clients][:1])
        due.append(self._listen_again)
        return max(0.0, min(LONGEST_SLEEP, min(due) - now))

    def _look_after(self) -> None:
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
                self._hang_up(client)
        while self._broken:
            self._hang_up(self._broken.pop())
        if now >= self._listen_again:
            self._listen_again = float("inf")
            self._accept(wanted=len(self._clients) < MOST_CLIENTS)
        if now - self._idle_since >= self._idle_seconds or self._is_replaced():
            self._leaving = True

    def _is_replaced(self) -> bool:
        """Whether another socket has taken the place of ours, so that nobody can find us any more."""
        return identity(self._path) != self._identity

    def _obey(self, numbers: bytes) -> None:
        if signal.SIGHUP in numbers:
            self._memory.clear(())
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._leaving = True

    def _leave(self) -> None:
        self._memory.clear(())
        for client in list(self._clients):
            self._hang_up(client)
        self._listener.close()

    # -- clients

    def _accept(self, *, wanted: bool) -> None:
        """Listen, or leave those who come in the queue until there are descriptors again."""
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _welcome(self) -> None:
        import _socket

        try:
            descriptor, _ = self._listener._accept()  # noqa: SLF001 - as socket.py does
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._accept(wanted=False)
                self._listen_again = time.monotonic() + TRY_AGAIN
            return
        peer = _socket.socket(fileno=descriptor)
        if not _is_ours(peer):
            peer.close()
            return
        peer.setblocking(False)
        client = Client(self, peer)
        self._selector.register(client, selectors.EVENT_READ)
        self._give_time(client)
        if len(self._clients) >= MOST_CLIENTS:
            self._accept(wanted=False)

    def _give_time(self, client: Client) -> None:
        self._clients.pop(client, None)
        self._clients[client] = None
        client.ends = time.monotonic() + REQUEST_SECONDS

    def _attend(self, client: Client, events: int) -> None:
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
        if self.has_room(client, count):
            before = client.inbox
            client.inbox = before + self._received[:count]  # to grow in place may leave a copy behind
            before[:] = bytes(len(before))
        self._received[:count] = bytes(count)
        if not count or len(client.inbox) > wire.LONGEST_LINE + wire.LARGEST_BODY + BLOCK:
            self._broken.append(client)

    def has_room(self, client: Client, count: int) -> bool:
        """Count bytes that are to wait in a box of this client; it is hung up on where all are full."""
        if self._boxed + count > MOST:
            self._broken.append(client)
            return False
        self._boxed += count
        return True

    def send(self, client: Client) -> None:
        """Send what waits in the outbox, as far as the socket takes it."""
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

    def _hang_up(self, client: Client) -> None:
        if client not in self._clients:
            return
        del self._clients[client]
        self._selector.unregister(client)
        client.peer.close()
        for box in (client.inbox, client.outbox):
            self._boxed -= len(box)
            box[:] = bytes(len(box))
        self._memory.gone(client)
        self._accept(wanted=True)

    # -- requests

    def _serve(self, client: Client) -> None:
        """Do what the client has asked for, one request after the other as far as it reads the answers."""
        try:
            while not client.outbox and not self._memory.waits(client) and self._do_next(client):
                self._give_time(client)
        except (ValueError, IndexError):
            self._broken.append(client)  # not our language

    def _do_next(self, client: Client) -> bool:
        """Do the first request of the inbox; False where it is not there yet in whole. Raises ValueError."""
        end = client.inbox.find(b"\n", 0, wire.LONGEST_LINE)
        if end < 0:
            if len(client.inbox) >= wire.LONGEST_LINE:
                raise ValueError
            return False
        verb, _, rest = bytes(client.inbox[:end]).partition(b" ")
        body = None
        if verb in (b"put", b"fail"):
            lease, words, length = self._announced(client, verb, rest)
            if len(client.inbox) < end + 1 + length:
                return False
            body = client.inbox[end + 1 : end + 1 + length]
        size = end + 1 + len(body or b"")
        client.inbox[:size] = bytes(size)
        del client.inbox[:size]
        self._boxed -= size
        if body is not None:
            (self._put if verb == b"put" else self._fail)(lease, words, body)
        else:
            self._answer(client, verb, rest)
        return True

    def _announced(self, client: Client, verb: bytes, rest: bytes) -> "tuple[Grant, list[str], int]":
        """The lease that bytes are announced for, and how many: only its holder may send any."""
        words = rest.decode("utf-8").split(" ")
        number, length = int(words[0]), int(words[1 if verb == b"put" else 2])
        lease = self._memory.lease(client, number)
        if lease is None or not 0 <= length <= wire.LARGEST_BODY:
            raise ValueError
        return lease, words, length

    def _fail(self, lease: "Grant", words: list[str], body: bytearray) -> None:
        self._memory.fail(lease, int(words[1]), body)

    def _put(self, lease: "Grant", words: list[str], body: bytearray) -> None:
        ends, boot_ends, refresh, fresh, servable = words[2:7]
        thresholds = ExpiryThresholds(
            _number(ends),
            None if boot_ends == "-" else _number(boot_ends),
            float("-inf") if refresh == "-" else _number(refresh),
            _number(fresh),
            _number(servable),
        )
        self._memory.put(lease, body, thresholds, words[7], " ".join(words[8:]))

    def _answer(self, client: Client, verb: bytes, rest: bytes) -> None:
        if verb in (b"get", b"renew", b"mint") and rest:
            self._memory.ask(client, verb.decode("ascii"), rest)
        elif verb in self._of_leases:
            lease = self._memory.lease(client, int(rest))
            if lease is None:
                raise ValueError
            self._of_leases[verb](lease)
        elif verb == b"clear":
            client.reply("ok", self._memory.clear(rest.decode("utf-8").split()))
        elif verb == b"status":
            text = "\n".join(
                [f"{os.getpid()} {len(self._memory)} {self._memory.size}", *self._memory.lines()]
            )
            client.reply("ok", len(self._memory), text.encode()[: wire.LARGEST_BODY])
        elif verb == b"stop":
            client.reply("ok")
            self._leaving = True
        else:
            raise ValueError


def _is_ours(peer: "_socket.socket") -> bool:
    try:
        return wire.uid_of(peer) == os.geteuid()
    except OSError:  # it has gone already
        return False


def _number(text: str) -> float:
    """A finite number. Raises ValueError."""
    number = float(text)
    if not -1e15 < number < 1e15:
        raise ValueError
    return number


def identity(path: str) -> tuple[int, int] | None:
    """Which file is there now."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
