"""One attempt at a call over the wire: what is retried, and how much of an answer is read.

botocore would read fifty megabytes into memory, parse half a body, and take a captive portal's page for an
answer. What is not STS's answer, whole and of bearable size, ends here.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import botocore.awsrequest
import botocore.exceptions as boto

from credhelper.deadline import LateError
from credhelper.errors import CredhelperError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.deadline import Deadline

ANSWER_LIMIT: Final = 1024 * 1024
"""Bytes of an answer; STS's are a few thousand, and tokens may grow."""

_STS_ANSWER: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<\w*Response\b")
_TRANSIENT: Final = (429, 500, 502, 503, 504)
_BROKEN_OFF: Final = "the connection broke off before the end of its answer"


class _Body:
    """Bytes that were read already, where botocore expects a stream."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._content


def send(sender: Any, request: Any, deadline: Deadline) -> botocore.awsrequest.AWSResponse:
    """Send one attempt, and return an answer that is STS's, whole and of bearable size."""
    if not deadline.left():
        raise LateError  # nobody waits any longer: a retry would mint for no one
    request.stream_output = True
    response = sender.send(request)
    body = b""
    try:
        for chunk in response.raw.stream(65536):
            body += chunk
            if len(body) > ANSWER_LIMIT or not deadline.left():
                break
    except Exception:  # noqa: BLE001 - urllib3's own errors, which botocore would not retry
        raise boto.HTTPClientError(error=_BROKEN_OFF) from None
    finally:
        response.raw.close()
    length = response.headers.get("content-length", "")
    if length.isdecimal() and len(body) < min(int(length), ANSWER_LIMIT):
        raise boto.HTTPClientError(error=_BROKEN_OFF)  # botocore does not look, and would parse the half
    if len(body) > ANSWER_LIMIT:
        raise UnreachableError(f"'{request.url}' answered with more than {ANSWER_LIMIT // 1024} KiB")
    if not _STS_ANSWER.match(body):
        _not_sts(request.url, response.status_code, body)
    return botocore.awsrequest.AWSResponse(response.url, response.status_code, response.headers, _Body(body))


def _not_sts(url: str, status: int, body: bytes) -> None:
    what = (
        "a web page"
        if b"<html" in body[:2000].lower()
        else "nothing"
        if not body.strip()
        else "something else"
    )
    if status in _TRANSIENT:
        raise boto.HTTPClientError(error=f"status {status} with {what} in place of STS's answer")
    raise UnreachableError(
        f"'{url}' answered with {what} instead of STS's answer (status {status})",
        "a captive portal or a proxy may be in the way, or 'endpoint_url' is wrong",
    )


def date(response: Mapping[str, Any]) -> float | None:
    """STS's clock, from the Date header of botocore's answer, in seconds since the epoch."""
    try:
        return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def explain(error: Exception, host: str) -> CredhelperError:
    """botocore's transport and parser errors as sentences."""
    if isinstance(error, boto.ParamValidationError):
        return CredhelperError(f"botocore does not accept the request: {error}")
    for kind, sentence, *hints in _TRANSPORT:
        if isinstance(error, kind):
            cause = error.kwargs.get("error", "")
            if type(error) is boto.HTTPClientError and not isinstance(cause, str):
                cause = type(cause).__name__  # http.client quotes the header that it refuses
            return UnreachableError(sentence.format(host=host, error=cause), *hints)
    return UnreachableError(f"STS at '{host}' sent an answer that cannot be read ({type(error).__name__})")


_TRANSPORT: Final[tuple[tuple[Any, ...], ...]] = (
    (boto.SSLError, "the TLS connection to STS at '{host}' failed: {error}",
     "behind a proxy that inspects TLS, set 'ca_bundle' to its certificate"),
    (boto.ProxyConnectionError, "the proxy on the way to STS cannot be reached: {error}"),
    (boto.EndpointConnectionError, "cannot connect to STS at '{host}'",
     "check the network, 'region' and 'endpoint_url'"),
    (boto.ConnectTimeoutError, "no connection to STS at '{host}' in time", "check the network and the proxy"),
    (boto.ReadTimeoutError, "STS at '{host}' did not answer in time"),
    (boto.ConnectionClosedError, "STS at '{host}' closed the connection without an answer"),
    (boto.HTTPClientError, "no answer from STS at '{host}': {error}"),
)  # fmt: skip
