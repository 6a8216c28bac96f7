"""A loopback STS: botocore's model checks its input, SigV4 its callers, a `Mode` spoils its answers.

`with LoopbackSts() as sts:` serves on `sts.url`, which boto3 takes as `endpoint_url`. Run as a program it
prints that url and serves until its standard input closes or SIGTERM comes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import html
import re
import secrets
import signal
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, takewhile
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from sts_faults import NORMAL, PORTAL, Mode, Reply, Result, pause, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

SOURCE_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SOURCE_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = "999988887777"
SECRET_MARKER = "MARKERSECRET"
DURATION_SECONDS = {"AssumeRoot": 900, "AssumeRole": 3600, "GetSessionToken": 43200}
CHAINED_ROLE_SECONDS = 3600
AMZ_DATE = "%Y%m%dT%H%M%SZ"
MODEL = ServiceModel(Loader().load_service_model("sts", "service-2"))

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 "
    r"Credential=(?P<access_key_id>[^/,]+)/(?P<day>\d{8})/(?P<region>[^/,]+)/(?P<service>\w+)/aws4_request, ?"
    r"SignedHeaders=(?P<signed_headers>[^,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_CHAINED_TOO_LONG = (
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
)
_FAILED = "failed to satisfy constraint"
_ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:.*/)?([^/]+)")
_TARGET_PRINCIPAL = re.compile(r"(?:arn:(aws[a-z-]*):iam::)?(\d{12})(?::root)?")


class ServiceError(Exception):
    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def refused(code: str, message: str, status: int = 403) -> NoReturn:
    raise ServiceError(code, message, status)


@dataclass(frozen=True)
class Identity:
    """The caller that GetCallerIdentity names."""

    account: str
    arn: str
    user_id: str


@dataclass(frozen=True)
class Session:
    """A key STS knows: a source key, or one minted by `action` until `expires_at` (seconds since 1970)."""

    secret: str
    identity: Identity
    action: str = ""
    token: str | None = None
    expires_at: float = float("inf")


@dataclass(frozen=True)
class Call:
    """A request as STS saw it: `region` is the credential scope's, `at` the server's clock.

    `outcome` is the code of the error sent, else the name of the mode: "OK" for a normal answer.
    """

    action: str
    parameters: dict[str, Any]
    access_key_id: str
    region: str
    host: str
    at: float
    outcome: str


def take(shape: Shape, name: str, form: dict[str, str]) -> Any:
    """Move a member out of a form (`Tags.member.1.Key=`) into nested values; None when it was not sent."""
    if isinstance(shape, StructureShape):
        prefix = f"{name}." if name else ""
        members = {key: take(member, prefix + key, form) for key, member in shape.members.items()}
        return {key: value for key, value in members.items() if value is not None} or None
    if isinstance(shape, ListShape):
        items = (take(shape.member, f"{name}.member.{number}", form) for number in count(1))
        # An empty list is sent as a bare `Tags=`.
        sent = list(takewhile(lambda item: item is not None, items))
        return sent or ([] if form.pop(name, None) == "" else None)
    text = form.pop(name, None)
    is_number = shape.type_name == "integer" and text and re.fullmatch(r"-?\d{1,18}", text, re.ASCII)
    return int(text) if text and is_number else text


def violations(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    for constraint in broken_constraints(shape, value):
        yield f"Value '{value}' at '{path}' {_FAILED}: {constraint}"
    if isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from violations(shape.member, item, f"{path}.{number}.member")
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            at = f"{path}.{name[0].lower()}{name[1:]}".lstrip(".")
            if name in value:
                yield from violations(member, value[name], at)
            elif name in shape.required_members:
                yield f"Value null at '{at}' {_FAILED}: Member must not be null"


def broken_constraints(shape: Shape, value: Any) -> Iterator[str]:
    is_integer = shape.type_name == "integer"
    if is_integer and not isinstance(value, int):
        yield "Member must be an integer"
        return
    size, noun = (value, "value") if is_integer else (len(value), "length")
    if size < shape.metadata.get("min", size):
        yield f"Member must have {noun} greater than or equal to {shape.metadata['min']}"
    if size > shape.metadata.get("max", size):
        yield f"Member must have {noun} less than or equal to {shape.metadata['max']}"
    pattern = shape.metadata.get("pattern")
    if pattern and not translated(pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {pattern}"


@functools.cache
def translated(pattern: str) -> re.Pattern[str]:
    r"""Read a Java pattern: \w and \d are ASCII there, and Python's re lacks the Unicode categories \p{}."""
    flags = 0 if r"\p" in pattern else re.ASCII
    spaces = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
    for category, members in (("L", r"\w"), ("N", r"\d"), ("Z", spaces)):
        pattern = pattern.replace(rf"\p{{{category}}}", members)
    try:
        return re.compile(pattern, flags)
    except re.error:  # a pattern of a later model: better unchecked than refused
        return re.compile(".*", re.DOTALL)


def xml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{xml(inner)}</{name}>" for name, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{xml(item)}</member>" for item in value)
    return html.escape(str(value), quote=False)


@dataclass(frozen=True)
class Request:
    """A POST: the signature covers all of it."""

    path: str
    headers: Message
    body: bytes
    service: str = "sts"

    def header(self, name: str) -> str:
        return self.headers.get(name) or ""

    def authorization(self) -> dict[str, str]:
        """Return the parts of the Authorization header, all empty when it is none."""
        match = _AUTHORIZATION.fullmatch(self.header("Authorization"))
        if match is None or match["service"] != self.service:
            return dict.fromkeys(_AUTHORIZATION.groupindex, "")
        return match.groupdict()

    def signature(self, secret: str) -> str:
        parts = self.authorization()
        headers = {name: self.header(name) for name in parts["signed_headers"].split(";")}
        request = AWSRequest("POST", f"http://{self.header('Host')}{self.path}", headers, self.body)
        request.context["timestamp"] = self.header("X-Amz-Date")
        auth = SigV4Auth(Credentials(parts["access_key_id"], secret), self.service, parts["region"])
        return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)

    def is_signed_by(self, secret: str) -> bool:
        """Tell whether the secret made the signature, over every header that AWS requires in it."""
        parts = self.authorization()
        required = {"host", *(name for name in map(str.lower, self.headers) if name.startswith("x-amz-"))}
        return (
            required <= set(parts["signed_headers"].split(";"))
            and self.header("X-Amz-Date").startswith(parts["day"])
            and hmac.compare_digest(self.signature(secret), parts["signature"])
        )


@dataclass(eq=False, repr=False, kw_only=True)
class LoopbackSts:
    """STS on a loopback port of its own; every field may be set at any time, from any thread.

    `mfa_codes` maps a serial to its code or to a function that judges one; empty, any code passes. No pair of
    serial and code passes twice. `mode` meets every mint request, after those in `script`, one each.
    """

    keys: dict[str, str] = field(default_factory=lambda: {SOURCE_KEY_ID: SOURCE_SECRET})
    users: dict[str, str] = field(default_factory=dict)  # the user of a key, by default 'me'
    account: str = ACCOUNT
    source_identity: str = ""  # answered by AssumeRoot when set
    secret_marker: str = field(default_factory=lambda: SECRET_MARKER + uuid.uuid4().hex[:8])
    token_size: int = 700
    mfa_codes: dict[str, str | Callable[[str], bool]] = field(default_factory=dict)
    check_clock: bool = True
    clock_skew_minutes: int = 5
    clock_offset: float = 0  # seconds the server's clock is ahead of the real time
    mode: Mode = NORMAL
    script: deque[Mode] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    issued: list[dict[str, str]] = field(default_factory=list)
    url: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._used_codes: set[tuple[str, str]] = set()

    def __enter__(self) -> LoopbackSts:  # noqa: PYI034 - Python 3.10 has no Self
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and cut the connections that still hang."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()

    def count(self, *actions: str) -> int:
        """Count the calls of these actions; of those that mint when none is named."""
        return sum(call.action in (actions or DURATION_SECONDS) for call in list(self.calls))

    def reset(self) -> None:
        """Forget modes, clock offset, used codes and what was recorded; minted sessions stay valid."""
        with self._lock:
            self.mode, self.clock_offset = NORMAL, 0
            for record in (self.script, self.calls, self.issued, self._used_codes):
                record.clear()

    def now(self) -> float:
        return time.time() + self.clock_offset

    def answer(self, request: Request) -> tuple[Mode, Reply]:
        """Decide and record one request; the mode says how its reply is to be sent."""
        form = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        action, version = form.pop("Action", ""), form.pop("Version", "")
        is_known = action in {*DURATION_SECONDS, "GetCallerIdentity"} and version == MODEL.api_version
        shape = MODEL.operation_model(action).input_shape if is_known else None
        parameters = take(shape, "", form) or {} if shape else dict(form)
        authorization = request.authorization()
        with self._lock:
            mode = self._next_mode(action)
            try:
                if not is_known or (action == "AssumeRoot" and _is_global(request)):
                    refused("InvalidAction", f"Could not find operation {action} for version {version}", 400)
                caller = self._verified(request)
                _validate(shape, parameters, form)
                reply, outcome = self._reply(action, caller, parameters, mode), mode.name
            except ServiceError as error:
                reply, outcome = _error_reply(error), error.code
            scope = authorization["access_key_id"], authorization["region"], request.header("Host")
            self.calls.append(Call(action, parameters, *scope, self.now(), outcome))
        date = formatdate(self.now(), usegmt=True)
        return mode, replace(reply, headers={"Date": date, **reply.headers})

    def _next_mode(self, action: str) -> Mode:
        if action in DURATION_SECONDS:
            return self.script.popleft() if self.script else self.mode
        return self.mode if self.mode.every_action else NORMAL

    def _verified(self, request: Request) -> Session:
        if not request.header("Authorization"):
            refused("MissingAuthenticationToken", "Request is missing Authentication Token")
        key_id = request.authorization()["access_key_id"]
        if not key_id:
            refused("IncompleteSignature", "Authorization header is no AWS4-HMAC-SHA256 for sts", 400)
        session = self._session(key_id)
        if session is None or (session.token or "") != request.header("X-Amz-Security-Token"):
            refused("InvalidClientTokenId", "The security token included in the request is invalid.")
        if self.now() >= session.expires_at:
            refused("ExpiredToken", "The security token included in the request is expired")
        self._check_date(request.header("X-Amz-Date"))
        if not request.is_signed_by(session.secret):
            refused("SignatureDoesNotMatch", _WRONG_SIGNATURE)
        return session

    def _session(self, key_id: str) -> Session | None:
        if key_id in self.keys:
            arn = f"arn:aws:iam::{self.account}:user/{self.users.get(key_id, 'me')}"
            return Session(self.keys[key_id], Identity(self.account, arn, _unique_id("AIDA", arn)))
        return self._sessions.get(key_id)

    def _check_date(self, text: str) -> None:
        if not re.fullmatch(r"\d{8}T\d{6}Z", text):
            refused("IncompleteSignature", f"Date must be in ISO-8601 'basic format'. Got '{text}'.", 400)
        at, skew = datetime.fromtimestamp(self.now(), timezone.utc), self.clock_skew_minutes
        earliest, now, latest = (
            f"{at + timedelta(minutes=minutes):{AMZ_DATE}}" for minutes in (-skew, 0, skew)
        )
        problem = ""
        if text < earliest:
            problem = f"Signature expired: {text} is now earlier than {earliest} ({now} - {skew} min.)"
        elif text > latest:
            problem = f"Signature not yet current: {text} is still later than {latest} ({now} + {skew} min.)"
        if problem and self.check_clock:
            refused("SignatureDoesNotMatch", problem)

    def _reply(self, action: str, caller: Session, parameters: dict[str, Any], mode: Mode) -> Reply:
        if mode.error:
            refused(*mode.error)
        if mode.reply:
            return mode.reply
        if action == "GetCallerIdentity":
            who = caller.identity
            return _result_reply(action, {"Arn": who.arn, "UserId": who.user_id, "Account": who.account})
        mint = {"AssumeRoot": self._root, "AssumeRole": self._role, "GetSessionToken": self._user}[action]
        identity, extra = mint(caller, parameters)
        seconds = parameters.get("DurationSeconds", DURATION_SECONDS[action])
        expires_at = int(self.now() + (seconds if mode.lifetime is None else mode.lifetime))
        token_size = max(self.token_size, parameters.get("MinimumSessionTokenSize", 0))
        secret, token = _noise(self.secret_marker, 40), _noise(f"{self.secret_marker}TOKEN", token_size)
        credentials = self._mint(Session(secret, identity, action, token, expires_at))
        return _result_reply(action, mode.edit({"Credentials": credentials, **extra}))

    def _mint(self, session: Session) -> dict[str, str]:
        key_id = f"ASIA{base64.b32encode(secrets.token_bytes(10)).decode()}"
        self._sessions[key_id] = session
        expiration = f"{datetime.fromtimestamp(session.expires_at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        credentials = {"AccessKeyId": key_id, "SecretAccessKey": session.secret, "Expiration": expiration}
        credentials["SessionToken"] = session.token or ""
        self.issued.append(credentials)
        return credentials

    def _root(self, _: Session, parameters: dict[str, Any]) -> tuple[Identity, Result]:
        target = _TARGET_PRINCIPAL.fullmatch(parameters["TargetPrincipal"])
        if not target:
            refused("ValidationError", f"{parameters['TargetPrincipal']} is invalid", 400)
        account = target[2]
        extra = {"SourceIdentity": self.source_identity} if self.source_identity else {}
        return Identity(account, f"arn:{target[1] or 'aws'}:iam::{account}:root", account), extra

    def _role(self, caller: Session, parameters: dict[str, Any]) -> tuple[Identity, Result]:
        if caller.action == "AssumeRole" and parameters.get("DurationSeconds", 0) > CHAINED_ROLE_SECONDS:
            refused("ValidationError", _CHAINED_TOO_LONG, 400)
        role = _ROLE_ARN.fullmatch(parameters["RoleArn"])
        if not role:
            refused("ValidationError", f"{parameters['RoleArn']} is invalid", 400)
        self._check_mfa(parameters)
        partition, account, name = role.groups()
        session_name = parameters["RoleSessionName"]
        arn = f"arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"
        role_id = f"{_unique_id('AROA', parameters['RoleArn'])}:{session_name}"
        extra: Result = {"AssumedRoleUser": {"AssumedRoleId": role_id, "Arn": arn}}
        if "SourceIdentity" in parameters:
            extra["SourceIdentity"] = parameters["SourceIdentity"]
        if {"Policy", "PolicyArns"} & set(parameters):
            extra["PackedPolicySize"] = 1 + len(parameters.get("Policy", "")) * 99 // 2048
        return Identity(account, arn, role_id), extra

    def _user(self, caller: Session, parameters: dict[str, Any]) -> tuple[Identity, Result]:
        if caller.token:
            refused("AccessDenied", "Cannot call GetSessionToken with session credentials")
        self._check_mfa(parameters)
        return caller.identity, {}

    def _check_mfa(self, parameters: dict[str, Any]) -> None:
        serial, code = parameters.get("SerialNumber"), parameters.get("TokenCode")
        if serial is None and code is None:
            return
        failed = "MultiFactorAuthentication failed"
        if serial is None or code is None:
            refused("AccessDenied", f"{failed}, must provide both MFA serial number and one time pass code")
        judge = self.mfa_codes.get(serial, "") if self.mfa_codes else code
        is_right = judge(code) if callable(judge) else judge == code
        if not is_right or (serial, code) in self._used_codes:
            refused("AccessDenied", f"{failed} with invalid MFA one time pass code. ")
        self._used_codes.add((serial, code))


def _is_global(request: Request) -> bool:
    host = request.header("Host").partition(":")[0]
    return host == "sts.amazonaws.com" or request.authorization()["region"] == "aws-global"


def _validate(shape: Shape | None, parameters: dict[str, Any], unknown: dict[str, str]) -> None:
    found = list(violations(shape, parameters)) if shape else []
    found += [
        f"Value '{text}' at '{name}' {_FAILED}: Member must be in the model" for name, text in unknown.items()
    ]
    if found:
        errors = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
        refused("ValidationError", f"{errors} detected: {'; '.join(found)}", 400)


def _result_reply(action: str, result: Result) -> Reply:
    request_id = str(uuid.uuid4())
    answer = {f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}}
    return _xml_reply(200, f"{action}Response", answer, request_id)


def _error_reply(error: ServiceError) -> Reply:
    request_id = str(uuid.uuid4())
    side = "Sender" if error.status < 500 else "Receiver"
    fault = {"Type": side, "Code": error.code, "Message": error.message}
    return _xml_reply(error.status, "ErrorResponse", {"Error": fault, "RequestId": request_id}, request_id)


def _xml_reply(status: int, root: str, content: Result, request_id: str) -> Reply:
    body = f'<{root} xmlns="{MODEL.metadata["xmlNamespace"]}">{xml(content)}</{root}>'
    return Reply(status, body.encode(), headers={"x-amzn-RequestId": request_id})


def _noise(start: str, size: int) -> str:
    return (start + base64.b64encode(secrets.token_bytes(size)).decode())[:size]


def _unique_id(prefix: str, arn: str) -> str:
    return prefix + base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()[:17]


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # a burst of callers waits in the backlog instead of being refused
    daemon_threads = True
    block_on_close = False

    def __init__(self, sts: LoopbackSts) -> None:
        self.sts = sts
        self._connections: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks DNS for the name of 127.0.0.1, which can take seconds.
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves is what half the modes are about.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mode, reply = self.server.sts.answer(Request(self.path, self.headers, body))
        pause(self.connection, mode.delay)
        mode.send(self.connection, reply)
        if mode.send is not whole:
            self.close_connection = True

    def do_GET(self) -> None:
        whole(self.connection, PORTAL)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LoopbackSts() as sts:
        sys.stdout.write(f"{sts.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
