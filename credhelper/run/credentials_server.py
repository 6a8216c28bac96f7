"""The container-credentials server of `exec --serve`, from which SDKs renew the session of a command.

It listens on 127.0.0.1, on a port that the system chooses, for as long as the command runs. A request needs
the token that only the command has; what a web page can send is refused before the token is compared. Its
thread never waits for AWS: it answers from memory and renews in another thread, because SDKs give up soon
(measured: botocore after 2 s, three times; the SDK for JavaScript after 1 s, four times).
"""

from __future__ import annotations

import hmac
import secrets
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.credentials import Credentials, utc
from credhelper.errors import BY_STATUS, CredhelperError, UnreachableError, os_reason, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.agent.client import CacheMode
    from credhelper.credentials import Clocks
    from credhelper.run.http_server import Headers, HttpServer, Response

PATH: Final = "/credentials"


class CredentialsServer:
    """Serves credentials from the beginning of a `with` block to its end.

    `get` is called in a thread to `renew` the session ahead of need, and to `get` one from `min_remaining`
    seconds before it expires (None: the limits of expiry.py).
    """

    def __init__(
        self,
        credentials: Credentials,
        get: Callable[[CacheMode], Credentials],
        *,
        min_remaining: float | None = None,
        read_clocks: Callable[[], Clocks] = expiry.read_clocks,
    ) -> None:
        self._session = credentials, get, read_clocks, min_remaining
        self._token = secrets.token_urlsafe(32).encode("ascii")
        self.http: HttpServer | None = None

    def __enter__(self) -> CredentialsServer:  # noqa: PYI034 - Python 3.10 has no Self
        self._listener = _listen()
        self._address = "{}:{}".format(*self._listener.getsockname())
        self._stopped, self._stop = socket.socketpair()
        self._stopped.setblocking(False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which every SDK finds the server."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{self._address}{PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token.decode("ascii"),
        }

    def _run(self) -> None:
        import asyncio  # here and below: the command does not wait for these imports, which take 50 ms

        with self._listener, self._stopped:
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        from credhelper.run.http_server import HttpServer
        from credhelper.run.supply import Supply

        self._supply = Supply(*self._session)
        self.http = HttpServer(self.respond, self._respond_later)
        await self.http.serve(self._listener, self._stopped)

    def respond(self, method: bytes, target: bytes, headers: Headers) -> Response | None:
        """The response to a request, or None if it has to wait for a session."""
        refusal = self.refusal(method, target, headers)
        if refusal is not None:
            return refusal
        credentials = self._supply.fresh()
        return None if credentials is None else _response(credentials)

    async def _respond_later(self) -> Response:
        return _response(await self._supply.renewed())

    def refusal(self, method: bytes, target: bytes, headers: Headers) -> Response | None:
        """The response to a request that is not allowed. All signs of a web page come before the token.

        A page's requests name its own origin, or its own host if that name was made to point here.
        """
        if _values(headers, b"host") != [self._address.encode()] or target[:1] != b"/":
            return _problem(421, "MisdirectedRequest", "this is another host")
        if any(name in (b"origin", b"referer") or name.startswith(b"sec-fetch-") for name, _ in headers):
            return _problem(403, "Forbidden", "not for browsers")
        if method != b"GET":
            return _problem(405, "MethodNotAllowed", "only GET")
        if _values(headers, b"transfer-encoding") or set(_values(headers, b"content-length")) - {b"0"}:
            return _problem(413, "RequestTooLarge", "a body is not allowed")
        values = _values(headers, b"authorization")
        if not hmac.compare_digest(values[0] if len(values) == 1 else b"", self._token):
            return _problem(401, "Unauthorized", "the token is missing or wrong")
        if target != PATH.encode():
            return _problem(404, "NotFound", f"there is only {PATH}")
        return None


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "win32":  # there, another program could take the same port otherwise
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CredhelperError(f"cannot listen on 127.0.0.1: {os_reason(error)}") from None
    listener.setblocking(False)
    return listener


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _response(answer: Credentials | CredhelperError) -> Response:
    if isinstance(answer, CredhelperError):
        status = 503 if isinstance(answer, UnreachableError) else 400  # SDKs try again on 5xx
        code = answer.code or BY_STATUS[answer.status].__name__.replace("Error", "")
        return _problem(status, printable(code), printable("; ".join((answer.sentence, *answer.hints))))
    document = {
        "AccessKeyId": answer.access_key_id,
        "SecretAccessKey": answer.secret_access_key,
        "Token": answer.session_token,  # the name in the container-credentials form
        "Expiration": utc(answer.expiration),
    }
    return 200, document if answer.account_id is None else {**document, "AccountId": answer.account_id}


def _problem(status: int, code: str, message: str) -> Response:
    """The form in which SDKs look for an error."""
    return status, {"code": code, "message": message}
