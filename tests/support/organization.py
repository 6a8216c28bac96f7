"""A loopback AWS without STS: the calls that `doctor` makes of IAM, Organizations, S3 and SQS.

botocore's service models check what is asked; what is answered, a test says by the operation's name.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import botocore.session
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

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
        application: Any = Request.application(self._answer)
        server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            if self.hangs is not None:
                self.hangs.set()
            server.shutdown()
            server.server_close()

    def _answer(self, request: Request) -> Response:
        if self.page is not None:
            return Response(self.page)
        scope = re.search(r"Credential=([^/]+)/\d+/[^/]+/(\w+)/", request.headers.get("Authorization", ""))
        assert scope, "the request is not signed"
        service = _model(scope[2])
        operation, parameters = _parse(request, service)
        name = f"{scope[2]}:{operation}"
        self.asked.append((name, parameters, scope[1]))
        if self.hangs is not None:
            self.hangs.wait(60)
        return _render(service, operation, self.answers[name])


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


def _parse(request: Request, service: Any) -> tuple[str, dict[str, Any]]:
    if service.service_name == "s3":
        assert (request.method, request.path) == ("GET", "/")
        return "ListBuckets", request.args.to_dict()
    form = request.form.to_dict()
    target = request.headers.get("X-Amz-Target")
    operation = target.partition(".")[2] if target else form.pop("Action")
    shape = service.operation_model(operation).input_shape
    if target:
        parameters = request.get_json(force=True)
    else:
        assert form.pop("Version") == service.api_version
        parameters = take(shape, "", form) or {} if shape else {}
        assert form == {}, "not in the model"
    assert shape is None or list(violations(shape, parameters)) == []
    return operation, parameters


def _render(service: Any, operation: str, found: Any) -> Response:
    refused = isinstance(found, Refusal)
    if service.metadata["protocol"] == "json":
        content = json.dumps({"__type": found.code, "message": found.message} if refused else found)
    else:
        content = xml({"Code": found.code, "Message": found.message} if refused else found)
        elements = ["Error", "ErrorResponse"] if refused else [f"{operation}Result", f"{operation}Response"]
        if service.service_name == "s3":
            elements = ["Error"] if refused else ["ListAllMyBucketsResult"]
        for element in elements:
            content = f"<{element}>{content}</{element}>"
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    return Response(content, found.status if refused else 200, headers)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Nothing."""
