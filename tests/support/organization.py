"""A loopback AWS without STS: the calls that `doctor` makes of IAM, Organizations, S3 and SQS.

botocore's service models check what is asked; what is answered, a test says by the operation's name.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import botocore.session

from sts import take, violations, xml

if TYPE_CHECKING:
    from collections.abc import Iterator

MANAGER = "999988887777"
MEMBER = "111122223333"

FIT: dict[str, Any] = {
    "iam:ListOrganizationsFeatures": {"EnabledFeatures": ["RootCredentialsManagement", "RootSessions"]},
    "iam:GetAccountSummary": {"SummaryMap": {}},
    "iam:GetLoginProfile": {"LoginProfile": {"UserName": "root"}},
    "organizations:DescribeOrganization": {"Organization": {"Id": "o-1", "MasterAccountId": MANAGER}},
    "organizations:ListDelegatedAdministrators": {"DelegatedAdministrators": []},
    "organizations:DescribeAccount": {"Account": {"Id": MEMBER, "Name": "Payments", "State": "ACTIVE"}},
    "s3:ListBuckets": {"Buckets": {}},
    "sqs:ListQueues": {"QueueUrls": []},
}


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error."""

    code: str
    message: str = "no"
    status: int = 400


SERVICES = ("iam", "organizations", "s3", "sqs")
DENIED = Refusal("AccessDenied", "User: arn:aws:iam::999988887777:user/me is not authorized", 403)
DENIED_BY_SCP = Refusal(
    "AccessDenied",
    "User: arn:aws:iam::111122223333:root is not authorized to perform this "
    "with an explicit deny in a service control policy",
    403,
)


@dataclass
class LoopbackAws:
    """The server, what it answers, and what it was asked: operation, parameters, access key id."""

    answers: dict[str, Any] = field(default_factory=lambda: dict(FIT))
    asked: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    url: str = ""
    hangs: threading.Event | None = None
    page: bytes | None = None  # answers everything, as a captive portal does

    def environ(self) -> dict[str, str]:
        """What leads the program here."""
        return {f"AWS_ENDPOINT_URL_{name.upper()}": self.url for name in SERVICES}

    @contextmanager
    def serving(self) -> Iterator[LoopbackAws]:
        """On a loopback port of its own."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"aws": self}))
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            if self.hangs is not None:
                self.hangs.set()
            server.shutdown()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        if self.page is not None:
            return 200, self.page
        scope = re.search(r"Credential=([^/]+)/\d+/[^/]+/(\w+)/", request.headers.get("Authorization", ""))
        assert scope, "the request is not signed"
        service = _model(scope[2])
        operation, parameters = _parse(request, body, service)
        model = service.operation_model(operation)
        if model.input_shape is not None and service.metadata["protocol"] != "rest-xml":
            assert list(violations(model.input_shape, parameters)) == []
        name = f"{scope[2]}:{operation}"
        self.asked.append((name, parameters, scope[1]))
        if self.hangs is not None:
            self.hangs.wait(60)
        found = self.answers[name]
        render = _json if service.metadata["protocol"] == "json" else _xml
        return render(operation, found)


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


def _parse(request: BaseHTTPRequestHandler, body: bytes, service: Any) -> tuple[str, dict[str, Any]]:
    if target := request.headers.get("X-Amz-Target"):
        return target.partition(".")[2], json.loads(body)
    if service.service_name == "s3":
        assert (request.command, urlsplit(request.path).path) == ("GET", "/")
        return "ListBuckets", dict(parse_qsl(urlsplit(request.path).query))
    form = dict(parse_qsl(body.decode()))
    operation, version = form.pop("Action"), form.pop("Version")
    assert version == service.api_version
    shape = service.operation_model(operation).input_shape
    parameters = take(shape, "", form) or {} if shape else {}
    assert form == {}, "not in the model"
    return operation, parameters


def _json(_: str, found: Any) -> tuple[int, bytes]:
    if isinstance(found, Refusal):
        return found.status, json.dumps({"__type": found.code, "message": found.message}).encode()
    return 200, json.dumps(found).encode()


def _xml(operation: str, found: Any) -> tuple[int, bytes]:
    if isinstance(found, Refusal):
        error = xml({"Code": found.code, "Message": found.message})
        if operation == "ListBuckets":
            return found.status, f"<Error>{error}</Error>".encode()
        return found.status, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
    if operation == "ListBuckets":
        return 200, f"<ListAllMyBucketsResult>{xml(found)}</ListAllMyBucketsResult>".encode()
    result = f"<{operation}Result>{xml(found)}</{operation}Result>"
    return 200, f"<{operation}Response>{result}</{operation}Response>".encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    aws: LoopbackAws

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = self.aws.answer(self, body)
        with suppress(BrokenPipeError):  # the client has gone
            self._send(status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        pass
