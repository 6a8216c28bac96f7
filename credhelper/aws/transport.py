"""botocore's clients: their settings, what they log, and how much of an answer is read.

botocore would read fifty megabytes into memory, parse half a body, and take a captive portal's page for an
answer. `send` lets only whole answers of STS through, of at most ANSWER_LIMIT bytes.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import botocore.awsrequest
import botocore.config
import botocore.exceptions as boto
import botocore.session

from credhelper.aws.errors import PORTAL
from credhelper.deadline import LateError
from credhelper.errors import ConfigError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from credhelper.credentials import AccessKey
    from credhelper.deadline import Deadline
    from credhelper.sessions.calls import Endpoint

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

ATTEMPTS: Final = 3
"""Times that botocore sends a request, unless told otherwise."""

LIBRARIES: Final = ("botocore", "boto3", "urllib3")
"""Their loggers print whole answers of STS at DEBUG."""

ANSWER_LIMIT: Final = 1024 * 1024
"""Bytes of an answer; STS's are a few thousand, and tokens may grow."""

_thread = threading.local()
_STS_ANSWER: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<\w*Response\b")
_TRANSIENT: Final = (429, 500, 502, 503, 504)
_BROKEN_OFF: Final = "the connection broke off before the end of its answer"


def quiet(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """`call` with the AWS libraries' DEBUG records dropped, in the thread that makes it and for its time.

    In a program that uses credhelper as a library, the levels of these loggers are that program's.
    """

    @functools.wraps(call)
    def quietly(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        # Each logger by itself: a filter on a parent does not see what its children pass on.
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if name.partition(".")[0] in LIBRARIES and isinstance(logger, logging.Logger):
                logger.addFilter(_passes)  # once: it is not added a second time
        before, _thread.quiet = _is_quiet(), True
        try:
            return call(*arguments, **named)
        finally:
            _thread.quiet = before

    return quietly


def _is_quiet() -> bool:
    return getattr(_thread, "quiet", False)


def _passes(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO or not _is_quiet()


@quiet
def create_client(  # noqa: PLR0913 - the settings of one client
    session: botocore.session.Session,
    service: str,
    endpoint: Endpoint,
    access_key: AccessKey | None,
    *,
    attempts: int = ATTEMPTS,
    seconds: float = float("inf"),
    connections: int = 10,
) -> Any:
    """A client that signs with this key, or with none; an attempt takes `seconds` at most.

    Raises ConfigError.
    """
    config = botocore.config.Config(
        connect_timeout=min(endpoint.connect_timeout, seconds),
        read_timeout=min(endpoint.read_timeout, seconds),
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        use_fips_endpoint=endpoint.fips,
        use_dualstack_endpoint=endpoint.dualstack,
        signature_version=None if access_key else botocore.UNSIGNED,
    )
    signer: dict[str, Any] = {}
    if access_key is not None:
        signer = {
            "aws_access_key_id": access_key.access_key_id,
            "aws_secret_access_key": access_key.secret_access_key,
            "aws_session_token": access_key.session_token,
        }
    try:
        return session.create_client(
            service,
            region_name=endpoint.region,
            endpoint_url=endpoint.url if service == "sts" else None,
            verify=endpoint.ca_bundle if endpoint.verified else False,
            config=config,
            **signer,
        )
    except (boto.BotoCoreError, ValueError) as error:
        raise ConfigError(f"botocore does not accept the endpoint's configuration: {error}") from None


class _Body:
    """Bytes that were read already, where botocore expects a stream."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._content


def send(sender: Any, request: Any, deadline: Deadline) -> botocore.awsrequest.AWSResponse:
    """Send one attempt, and return an answer that is STS's, whole and of bearable size."""
    if not deadline.left():
        raise LateError  # the caller has gone, and a retry would mint again
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
    is_page = b"<html" in body[:2000].lower()
    what = "a web page" if is_page else "something else" if body.strip() else "nothing"
    if status in _TRANSIENT:
        raise boto.HTTPClientError(error=f"status {status} with {what} in place of STS's answer")
    raise UnreachableError(f"'{url}' answered with {what} instead of STS's answer (status {status})", PORTAL)


def date(response: Mapping[str, Any]) -> float | None:
    """AWS's clock, from the Date header of botocore's answer, in seconds since the epoch."""
    try:
        return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
