"""A small HTTP server on asyncio and h11: one request a connection, with limits for size, time and number."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

import h11

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    Headers = list[tuple[bytes, bytes]]
    Response = tuple[int, dict[str, str]]
    """A status, and a document that is sent as JSON."""

MAX_CONNECTIONS: Final = 16
HEAD_LIMIT: Final = 8192
RECEIVE_LIMIT: Final = 65536
"""Bytes after which a connection is closed; those behind the head are dropped."""

STEP_SECONDS: Final = 5.0
"""Time to send a request, to wait for the response, and to take it."""

GRACE: Final = 0.02
"""Seconds after which a connection without a request may be closed in favour of another one."""

ACCEPT_PAUSE: Final = 1.0
"""Seconds to wait after the system had no descriptor for a connection."""


class Connection(asyncio.Protocol):
    """One request of a client, and the response to it."""

    transport: asyncio.Transport

    def __init__(self, server: HttpServer) -> None:
        self.waiting: asyncio.Task[None] | None = None
        self._server = server
        self._since = time.monotonic()
        self._http = h11.Connection(h11.SERVER)
        self._received = 0
        self._has_body = True
        self._is_answered = False
        self._timer = server.loop.call_later(STEP_SECONDS, self._late)

    @property
    def is_dispensable(self) -> bool:
        """Whether it may be closed in favour of another one: it does not wait, and had GRACE to ask."""
        return self.waiting is None and time.monotonic() - self._since >= GRACE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]  # that of a socket has both directions
        self._server.connections[self] = None

    def connection_lost(self, _error: Exception | None) -> None:
        """End, and stop waiting."""
        self._timer.cancel()
        if self.waiting is not None:
            self.waiting.cancel()
        self._server.connections.pop(self, None)

    def data_received(self, block: bytes) -> None:
        """Read the head; what comes behind it is dropped."""
        head = block[: max(0, HEAD_LIMIT - self._received)]
        self._received += len(block)
        if not (self.waiting or self._is_answered):
            self._read(head)
        if self._received > RECEIVE_LIMIT:
            self.transport.abort()

    def _read(self, block: bytes) -> None:
        try:
            self._http.receive_data(block)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._reply(error.error_status_hint, {"code": "BadRequest", "message": "this is no HTTP request"})
            return
        if isinstance(event, h11.Request):
            self._has_body = event.method != b"HEAD"
            if response := self._server.respond(event.method, event.target, list(event.headers)):
                self._reply(*response)
            else:
                self._restart_timer()
                self.waiting = self._server.loop.create_task(self._wait())
        elif self._received >= HEAD_LIMIT:
            self._reply(431, {"code": "RequestTooLarge", "message": f"a head has {HEAD_LIMIT} bytes at most"})

    async def _wait(self) -> None:
        self._reply(*await self._server.respond_later())

    def _restart_timer(self) -> None:
        self._timer.cancel()
        self._timer = self._server.loop.call_later(STEP_SECONDS, self._late)

    def _late(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self._reply(503, {"code": "Unreachable", "message": "no credentials yet: ask again"})
        elif self._received and not self._is_answered:
            self._reply(408, {"code": "RequestTimeout", "message": "the request did not come in time"})
        else:
            self.transport.abort()

    def _reply(self, status: int, document: dict[str, str]) -> None:
        """Send the answer. The client closes first: closing while it still sends could lose the answer."""
        body = json.dumps(document).encode("ascii")
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ]
        head = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
        self.waiting, self._is_answered = None, True
        self._restart_timer()
        self.transport.write(head + (body if self._has_body else b""))
        self.transport.write_eof()


class HttpServer:
    """Answers each request with what `respond` returns at once, or `respond_later` if that is None.

    `respond` gets method, target and headers.
    """

    def __init__(
        self,
        respond: Callable[[bytes, bytes, Headers], Response | None],
        respond_later: Callable[[], Awaitable[Response]],
    ) -> None:
        self.respond = respond
        self.respond_later = respond_later
        self.connections: dict[Connection, None] = {}  # the oldest first
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda *_: None)  # an error with one client ends its connection only

    async def serve(self, listener: socket.socket, stop: socket.socket) -> None:
        """Serve connections to `listener` until the other end of `stop` is closed."""
        accepting = self.loop.create_task(self._accept_all(listener))
        stopped = self.loop.create_task(self.loop.sock_recv(stop, 1))
        await asyncio.wait([accepting, stopped], return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        for connection in self.connections:
            connection.transport.abort()
        await asyncio.wait([accepting])  # in the meantime the sockets are closed

    async def _accept_all(self, listener: socket.socket) -> None:
        while True:
            await self._accept(listener)

    async def _accept(self, listener: socket.socket) -> None:
        """Take the next connection; at the limit it waits, or the oldest dispensable one is closed."""
        try:
            peer, _ = await self.loop.sock_accept(listener)
        except ConnectionError:
            return
        except OSError:  # no descriptor is left
            await asyncio.sleep(ACCEPT_PAUSE)
            return
        try:
            while len(self.connections) >= MAX_CONNECTIONS:
                if oldest := next((each for each in self.connections if each.is_dispensable), None):
                    oldest.transport.abort()
                await asyncio.sleep(0 if oldest else GRACE)
            await self.loop.connect_accepted_socket(lambda: Connection(self), peer)
        except BaseException:
            peer.close()
            raise
