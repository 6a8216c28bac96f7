"""The ways an answer of the loopback STS can go wrong, a `Mode` each."""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DRIP_SECONDS = 0.05
HUGE_BYTES = 50 * 2**20
PIECE = b"A" * 2**16

Result = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An HTTP answer before it is put on the wire."""

    status: int
    body: bytes
    content_type: str = "text/xml"
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, **framing: str) -> bytes:
        """Return the status line and headers; `framing` replaces the true Content-Length."""
        headers = {"Content-Type": self.content_type, **self.headers}
        headers |= framing or {"Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()


def whole(connection: socket.socket, reply: Reply) -> None:
    """Send an answer as it is, in one write so that no delayed acknowledgement slows it."""
    connection.sendall(reply.head() + reply.body)


def _unchanged(result: Result) -> Result:
    return result


@dataclass(frozen=True)
class Mode:
    """What happens to one answer; every field at its default is the normal answer.

    A request must still be signed and valid: STS's own refusal of it wins over the mode's `error`, `reply`,
    `lifetime` and `edit`. `replace(mode, every_action=True)` makes a mode meet GetCallerIdentity too.
    """

    name: str
    delay: float = 0  # seconds before the first byte
    error: tuple[str, str, int] | None = None  # code, message, status; nothing is minted
    reply: Reply | None = None  # sent instead of an answer; nothing is minted
    lifetime: float | None = None  # seconds, in place of the DurationSeconds asked for
    edit: Callable[[Result], Result] = _unchanged  # the result element, before it becomes XML
    send: Callable[[socket.socket, Reply], None] = whole
    every_action: bool = False


def pause(connection: socket.socket, seconds: float) -> None:
    """Wait, but no longer than the client (and the server) stays."""
    if not seconds:
        return
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        pass
    finally:
        connection.settimeout(None)


def _credentials(**changes: str | None) -> Callable[[Result], Result]:
    def edit(result: Result) -> Result:
        changed = {**result["Credentials"], **changes}
        return {**result, "Credentials": {name: text for name, text in changed.items() if text is not None}}

    return edit


def _without_credentials(result: Result) -> Result:
    return {name: value for name, value in result.items() if name != "Credentials"}


def _cut_xml(connection: socket.socket, reply: Reply) -> None:
    whole(connection, replace(reply, body=reply.body[: len(reply.body) // 2]))


def _cut_body(connection: socket.socket, reply: Reply) -> None:
    connection.sendall(reply.head() + reply.body[: len(reply.body) // 2])


def _endless_start(reply: Reply) -> bytes:
    return reply.body.partition(b"</SessionToken>")[0]


def _huge(connection: socket.socket, reply: Reply) -> None:
    start = _endless_start(reply)
    pieces = (HUGE_BYTES - len(start)) // len(PIECE)
    connection.sendall(reply.head(Content_Length=str(len(start) + pieces * len(PIECE))) + start)
    for _ in range(pieces):
        connection.sendall(PIECE)


def _huge_chunked(connection: socket.socket, reply: Reply) -> None:
    connection.sendall(reply.head(Transfer_Encoding="chunked"))
    for piece in [_endless_start(reply), *[PIECE] * (HUGE_BYTES // len(PIECE)), b""]:
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))


def _hang(connection: socket.socket, _: Reply) -> None:
    while connection.recv(4096):
        pass


def _reset(connection: socket.socket, _: Reply) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Closed by number: the handler's files keep the socket object open, and its orderly shutdown sends a FIN.
    socket.close(connection.detach())


def _byte_by_byte(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        time.sleep(DRIP_SECONDS)
        connection.sendall(bytes([byte]))


def _drip(connection: socket.socket, reply: Reply) -> None:
    connection.sendall(reply.head())
    _byte_by_byte(connection, reply.body)


def _drip_headers(connection: socket.socket, reply: Reply) -> None:
    _byte_by_byte(connection, reply.head())
    connection.sendall(reply.body)


PORTAL = Reply(200, b"<!DOCTYPE html><html><body><h1>Sign in to the Wi-Fi</h1></body></html>", "text/html")


def slow(seconds: float) -> Mode:
    return Mode("slow", delay=seconds)


def refuse(code: str, message: str, status: int = 403) -> Mode:
    return Mode("refuse", error=(code, message, status))


def status_xml(status: int) -> Mode:
    """Answer the XML error of a service that is down: ServiceUnavailable for 503, else ServiceFailure."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        message = "The request has failed due to a temporary failure of the server."
        return refuse("ServiceUnavailable", message, status)
    message = "The request processing has failed because of an unknown error, exception or failure."
    return refuse("ServiceFailure", message, status)


def status_plain(status: int) -> Mode:
    """Answer a status with a plain text body, as a load balancer or a proxy does."""
    text = f"{status} {HTTPStatus(status).phrase}\n"
    return Mode(f"status_plain {status}", reply=Reply(status, text.encode(), "text/plain"))


def expires_in(seconds: float) -> Mode:
    """Mint credentials that last this long, whatever was asked."""
    return Mode("expires_in", lifetime=seconds)


NORMAL = Mode("OK")  # STS as it should be
THROTTLED = refuse("Throttling", "Rate exceeded", 400)  # the request rate of the account is exceeded
HTML_200 = Mode("html_200", reply=PORTAL)  # a captive portal answers its page in place of STS
# A captive portal redirects to its page, which this server has
HTML_302 = Mode("html_302", reply=replace(PORTAL, status=302, headers={"Location": "/portal"}))
EMPTY_200 = Mode("empty_200", reply=Reply(200, b""))  # a success without a body
# A success whose body is noise (the same noise every time)
GARBAGE = Mode("garbage", reply=Reply(200, hashlib.shake_128(b"garbage").digest(512)))
NO_CREDENTIALS = Mode("no_credentials", edit=_without_credentials)
MISSING_FIELDS = Mode("missing_fields", edit=_credentials(SessionToken=None))
EXPIRED = Mode("expired", lifetime=-3600)  # credentials that expired an hour ago
ABSURD_EXPIRATION = Mode("absurd_expiration", edit=_credentials(Expiration="9999-12-31T23:59:59Z"))
BAD_EXPIRATION = Mode("bad_expiration", edit=_credentials(Expiration="NaN"))
# An error message with every control XML can carry: newline, the 8-bit CSI, DEL, U+2028, U+202E
CONTROL_CHARS = refuse("AccessDenied", "denied\n\x9b31mred \x7f\u2028next\u202eesrever")
# An error message with a raw ESC and BEL, which no conforming XML parser accepts
RAW_ESCAPE = refuse("AccessDenied", "denied\x1b[31mred\n\x07\u2028next\x7f")
CUT_XML = Mode("cut_xml", send=_cut_xml)  # half of the XML, framed as if it were all
# Half of the promised Content-Length, then the end of the connection
CUT_BODY = Mode("cut_body", send=_cut_body)
HUGE = Mode("huge", send=_huge)  # a session token of 50 MiB, announced by Content-Length
# A session token of 50 MiB whose length nothing announces
HUGE_CHUNKED = Mode("huge_chunked", send=_huge_chunked)
HANG = Mode("hang", send=_hang)  # credentials are minted, the answer never comes
RESET = Mode("reset", send=_reset)  # credentials are minted, the connection is reset (RST)
DRIP = Mode("drip", send=_drip)  # the body at a byte in 50 ms
DRIP_HEADERS = Mode("drip_headers", send=_drip_headers)  # the headers at a byte in 50 ms
