"""The container-credentials endpoint of `exec --serve`: where SDKs ask when a command outlives a session.

It is on 127.0.0.1, on a port that the system chooses, for as long as the command runs. Whoever asks has to
know the token, which only the command is given; a web page that reaches the port is turned away before that.
One thread does all the talking and never waits for AWS: it answers from memory and renews in the background,
because SDKs give up soon (measured: botocore after 2 s, three times; JavaScript's after 1 s, four times).
"""

from __future__ import annotations

import contextlib
import hmac
import json
import queue
import secrets
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import h11

from credhelper import expiry
from credhelper.credentials import Credentials, utc
from credhelper.errors import BY_STATUS, CredhelperError, UnreachableError, os_reason, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.agent.client import CacheMode
    from credhelper.credentials import Clocks

PATH: Final = "/credentials"
MOST_CONNECTIONS: Final = 16
HEAD_BYTES: Final = 8192
BACKLOG: Final = 128
SPILLED_BYTES: Final = 65536
"""What a client may send behind its request before we hang up on it: none of it is kept."""

STEP_SECONDS: Final = 5.0
"""Time for each step of a connection: to send a request, to wait for an answer, to take it."""

PATIENCE: Final = 0.8
"""Seconds that a request waits for a mint while what is in memory still serves: less than any SDK's."""

GRACE: Final = 0.02
"""Seconds that a client has to begin in peace, before somebody else may take its place."""

LOST_SECONDS: Final = 60.0
"""After these a renewal is taken for lost, and there may be another: `get` has 50 s of its own."""

NO_DESCRIPTORS_SECONDS: Final = 1.0


class _Supply:
    """What is handed out: the credentials in memory, and one call of `get` at a time that renews them.

    Everything but `_run` happens in the endpoint's own thread.
    """

    def __init__(
        self,
        credentials: Credentials,
        get: Callable[[CacheMode], Credentials],
        read_clocks: Callable[[], Clocks],
        min_remaining: float | None,
        finished: Callable[[], None],
    ) -> None:
        self._kept = credentials
        self._get = get
        self._read_clocks = read_clocks
        self._min_remaining = min_remaining
        self._finished = finished
        self._outcomes: queue.SimpleQueue[Credentials | CredhelperError] = queue.SimpleQueue()
        self._is_renewing = False
        self._asked = float("-inf")

    def at_hand(self) -> Credentials | None:
        """What can be handed out at once; where it is due, a renewal ahead of need begins."""
        left = expiry.remaining(self._kept, self._read_clocks())
        if left < expiry.floor(self._kept.life, self._min_remaining):
            return None
        ahead = expiry.refresh_ahead(self._kept, self._min_remaining)
        if left < ahead and time.monotonic() - self._asked >= expiry.BACK_OFF:
            self.renew("renew")
        return self._kept

    def servable(self) -> Credentials | None:
        """What can be handed out where nothing newer is to be had in time."""
        return self._kept if expiry.is_servable(self._kept, self._read_clocks()) else None

    def renew(self, mode: CacheMode) -> None:
        """Ask for newer ones, in a thread of its own, unless somebody has: a mint may take a while."""
        if not self._is_renewing or time.monotonic() - self._asked > LOST_SECONDS:
            threading.Thread(target=self._run, args=(mode,), daemon=True).start()
            self._is_renewing, self._asked = True, time.monotonic()

    def _run(self, mode: CacheMode) -> None:
        outcome: Credentials | CredhelperError
        try:
            outcome = self._get(mode)
        except CredhelperError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - those who wait are told, and by no text that may be secret
            outcome = CredhelperError(f"internal error: {type(error).__name__}")
        self._outcomes.put(outcome)
        self._finished()

    def collect(self) -> Credentials | CredhelperError | None:
        """What a renewal has come to, where one has ended; what is servable beats an error."""
        try:
            outcome = self._outcomes.get_nowait()
        except queue.Empty:
            return None
        self._is_renewing = False
        if isinstance(outcome, Credentials):
            self._kept = outcome
            return outcome
        return self.servable() or outcome


@dataclass(eq=False)
class _Connection:
    """One client, for one request. `ends` is when the time for its present step is over."""

    peer: socket.socket
    since: float
    ends: float
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))
    received: int = 0
    takes_body: bool = True
    is_waiting: bool = False
    patient_until: float = float("inf")
    outbox: bytes = b""
    is_closing: bool = False  # the answer is ready; all that is left to do is to see the client leave


class Endpoint:
    """Serves credentials, from `with` to the end of its block.

    `get` is called in a thread when newer ones are due: to `renew` them ahead of need, when nobody waits; and
    from `min_remaining` seconds before they expire (None: what freshness.py says) to `get` them.
    """

    def __init__(
        self,
        credentials: Credentials,
        get: Callable[[CacheMode], Credentials],
        *,
        min_remaining: float | None = None,
        read_clocks: Callable[[], Clocks] = expiry.read_clocks,
    ) -> None:
        self._supply = _Supply(credentials, get, read_clocks, min_remaining, self._wake)
        self._token = secrets.token_urlsafe(32).encode("ascii")

    def __enter__(self) -> Endpoint:  # noqa: PYI034 - Python 3.10 has no Self
        self._connections: dict[_Connection, None] = {}  # the oldest first
        self._is_leaving = False
        self._is_accepting = False
        self._accept_again = 0.0
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listener = _listen()
        self._address = "{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_leaving = True
        self._wake()
        self._thread.join()

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which every SDK finds the endpoint."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{self._address}{PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token.decode("ascii"),
        }

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody is there any more
            self._waker.send(b"\0")

    # -- the loop

    def _serve(self) -> None:
        try:
            while not self._is_leaving:
                self._accept_or_not()
                for key, events in self._selector.select(self._time_left()):
                    self._attend(key, events)
                self._expire()
        finally:
            for connection in list(self._connections):
                self._close(connection)
            for each in (self._listener, self._woken, self._waker, self._selector):
                each.close()

    def _attend(self, key: selectors.SelectorKey, events: int) -> None:
        connection: _Connection | None = key.data
        if key.fileobj is self._woken:
            with contextlib.suppress(OSError):
                self._woken.recv(4096)
            self._hand_out()
        elif connection is None:
            self._accept()
        elif connection in self._connections:  # it may have had to make room a moment ago
            try:
                self._read(connection) if events & selectors.EVENT_READ else self._write(connection)
            except Exception:  # noqa: BLE001 - one client's trouble is not the next one's
                self._close(connection)

    def _time_left(self) -> float | None:
        """Seconds until something has to happen of itself; None: nothing has to."""
        moments = [min(each.ends, each.patient_until) for each in self._connections]
        if self._accept_again:
            moments.append(self._accept_again)
        elif not self._is_accepting:
            moments += [each.since + GRACE for each in self._connections if not each.is_waiting]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _expire(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            if connection.is_waiting and connection.patient_until <= now:
                connection.patient_until = float("inf")
                if (credentials := self._supply.servable()) is not None:
                    self._answer(connection, credentials)
            elif connection.ends <= now:
                self._give_up(connection)

    def _give_up(self, connection: _Connection) -> None:
        if connection.is_waiting:
            self._answer(connection, UnreachableError("no credentials yet: ask again"))
        elif connection.received and not connection.is_closing:
            self._reply(connection, 408, _problem("RequestTimeout", "the request did not come in time"))
        else:
            self._close(connection)

    # -- who comes in

    def _accept_or_not(self) -> None:
        """Listen as long as there is a place for one more, be it that of somebody who asks for nothing."""
        if time.monotonic() >= self._accept_again:
            self._accept_again = 0.0
        has_room = len(self._connections) < MOST_CONNECTIONS or self._dispensable() is not None
        wanted = has_room and not self._accept_again
        if wanted and not self._is_accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif not wanted and self._is_accepting:
            self._selector.unregister(self._listener)
        self._is_accepting = wanted

    def _dispensable(self) -> _Connection | None:
        """Who has to go where there are too many: the oldest that does not wait for credentials."""
        latest = time.monotonic() - GRACE
        for each in self._connections:
            if not each.is_waiting and (each.since <= latest or (each.is_closing and not each.outbox)):
                return each
        return None

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # no descriptors left: asking again at once would not help
            self._accept_again = time.monotonic() + NO_DESCRIPTORS_SECONDS
            return
        peer.setblocking(False)
        if len(self._connections) >= MOST_CONNECTIONS and (oldest := self._dispensable()) is not None:
            self._close(oldest)
        now = time.monotonic()
        connection = _Connection(peer, now, now + STEP_SECONDS)
        self._connections[connection] = None
        self._selector.register(peer, selectors.EVENT_READ, connection)

    def _close(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.peer)
        connection.peer.close()

    # -- what they say

    def _read(self, connection: _Connection) -> None:
        reads_head = not (connection.is_waiting or connection.is_closing)
        most = HEAD_BYTES - connection.received if reads_head else SPILLED_BYTES
        try:
            block = connection.peer.recv(most)
        except BlockingIOError:
            return
        connection.received += len(block)
        if not block or connection.received > SPILLED_BYTES:
            self._close(connection)
        elif reads_head:
            self._read_head(connection, block)

    def _read_head(self, connection: _Connection, block: bytes) -> None:
        try:
            connection.http.receive_data(block)
            event = connection.http.next_event()
        except h11.RemoteProtocolError as error:
            self._reply(
                connection, error.error_status_hint, _problem("BadRequest", "this is no HTTP request")
            )
            return
        if isinstance(event, h11.Request):
            connection.takes_body = event.method != b"HEAD"
            refusal = self._refusal(event)
            if refusal is None:
                self._admit(connection)
            else:
                self._reply(connection, *refusal)
        elif connection.received >= HEAD_BYTES:
            self._reply(
                connection, 431, _problem("RequestTooLarge", f"a head has {HEAD_BYTES} bytes at most")
            )

    def _refusal(self, request: h11.Request) -> tuple[int, dict[str, str]] | None:
        """Why a request is turned away: what a browser could have made comes before the token is looked at.

        A page's requests name its own origin, or its own host where DNS was made to point here.
        """
        if _values(request, b"host") != [self._address.encode()] or request.target[:1] != b"/":
            return 421, _problem("MisdirectedRequest", "this is another host")
        if any(_is_a_browsers(name) for name, _ in request.headers):
            return 403, _problem("Forbidden", "not for browsers")
        if request.method != b"GET":
            return 405, _problem("MethodNotAllowed", "only GET")
        if _values(request, b"transfer-encoding") or set(_values(request, b"content-length")) - {b"0"}:
            return 413, _problem("RequestTooLarge", "no body is wanted")
        if not self._is_authorized(_values(request, b"authorization")):
            return 401, _problem("Unauthorized", "the token is missing or wrong")
        if request.target != PATH.encode():
            return 404, _problem("NotFound", f"there is only {PATH}")
        return None

    def _is_authorized(self, values: list[bytes]) -> bool:
        return hmac.compare_digest(values[0] if len(values) == 1 else b"", self._token)

    # -- what they are told

    def _admit(self, connection: _Connection) -> None:
        credentials = self._supply.at_hand()
        if credentials is not None:
            self._answer(connection, credentials)
            return
        now = time.monotonic()
        connection.is_waiting = True
        connection.patient_until, connection.ends = now + PATIENCE, now + STEP_SECONDS
        self._supply.renew("get")

    def _hand_out(self) -> None:
        """Answer everybody who waits, once a renewal has ended."""
        outcome = self._supply.collect()
        for connection in list(self._connections) if outcome is not None else ():
            if connection.is_waiting and outcome is not None:
                self._answer(connection, outcome)

    def _answer(self, connection: _Connection, outcome: Credentials | CredhelperError) -> None:
        if isinstance(outcome, Credentials):
            self._reply(connection, 200, _document(outcome))
            return
        # SDKs try again on 5xx: only where that can help.
        status = 503 if isinstance(outcome, UnreachableError) else 400
        said = "; ".join((outcome.sentence, *outcome.hints))
        code = outcome.code or BY_STATUS[outcome.status].__name__.replace("Error", "")
        self._reply(connection, status, _problem(printable(code), printable(said)))

    def _reply(self, connection: _Connection, status: int, document: dict[str, str]) -> None:
        body = json.dumps(document).encode("ascii")
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ]
        head = connection.http.send(h11.Response(status_code=status, headers=headers)) or b""
        connection.outbox = head + (body if connection.takes_body else b"")
        connection.is_waiting, connection.is_closing = False, True
        connection.patient_until = float("inf")
        connection.ends = time.monotonic() + STEP_SECONDS
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        """Send what the socket takes. After the last byte the client hangs up first.

        Closing while it is still sending would reset the connection, and the answer might be lost with it.
        """
        try:
            connection.outbox = connection.outbox[connection.peer.send(connection.outbox) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close(connection)
            return
        if connection.outbox:
            self._selector.modify(connection.peer, selectors.EVENT_WRITE, connection)
            return
        self._selector.modify(connection.peer, selectors.EVENT_READ, connection)
        with contextlib.suppress(OSError):
            connection.peer.shutdown(socket.SHUT_WR)


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "win32":  # there, another program could take the same port otherwise
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CredhelperError(f"cannot listen on 127.0.0.1: {os_reason(error)}") from None
    listener.setblocking(False)
    return listener


def _values(request: h11.Request, wanted: bytes) -> list[bytes]:
    return [value for name, value in request.headers if name == wanted]


def _is_a_browsers(name: bytes) -> bool:
    """Whether a header is one that browsers send of themselves, and SDKs never."""
    return name in (b"origin", b"referer") or name.startswith(b"sec-fetch-")


def _document(credentials: Credentials) -> dict[str, str]:
    """What SDKs read: AWS's container-credentials form, in which the session token is `Token`."""
    document = {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": utc(credentials.expiration),
    }
    return document if credentials.account_id is None else {**document, "AccountId": credentials.account_id}


def _problem(code: str, message: str) -> dict[str, str]:
    """The form in which SDKs look for what went wrong."""
    return {"code": code, "message": message}
