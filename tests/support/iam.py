"""A loopback IAM: moto's, behind a gate that checks who signs, with an STS that knows its keys.

`with LoopbackIam() as iam:` serves on `iam.url`; GetCallerIdentity and the rest of STS are at `iam.sts.url`.
The gate is what moto leaves out: a key that is inactive, deleted or not yet known does not sign anything, and
any call can be refused, or be done with its answer lost.
"""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from moto.iam.models import iam_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from credhelper.credentials import AccessKey

from sts import LoopbackSts, Request

if TYPE_CHECKING:
    from moto.iam.models import AccessKey as SavedAccessKey
    from moto.iam.models import IAMBackend

ACCOUNT = "123456789012"
LOST = "lost"
"""A fault: the call is done, and its answer does not arrive."""

_ERROR = (
    '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
    "<Code>{}</Code><Message>{}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)


def backend() -> IAMBackend:
    return iam_backends[ACCOUNT]["aws"]


class _Active(Mapping[str, str]):
    """The secrets of the keys that work, by their ids, as STS sees them."""

    def __init__(self, iam: LoopbackIam) -> None:
        self._iam = iam

    def __contains__(self, key_id: object) -> bool:
        return self._iam.knows(str(key_id))

    def __getitem__(self, key_id: str) -> str:
        return str(backend().access_keys[key_id].secret_access_key)

    def __iter__(self) -> Iterator[str]:
        return iter(backend().access_keys)

    def __len__(self) -> int:
        return len(backend().access_keys)


@dataclass(eq=False)
class LoopbackIam:
    """Users with access keys; every field may be set at any time.

    `faults` by action, one for each call: an error code, LOST, or what else happens when it is done. `lag` is
    how many requests a key signs in vain that was made since; `on_use` is what happens just before the next
    request of a key is looked at. `demands_mfa` is a policy that lets only MFA sessions through.
    """

    faults: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[str, str]] = field(default_factory=list)
    lag: int = 0
    on_use: dict[str, Any] = field(default_factory=dict)
    demands_mfa: bool = False
    url: str = field(init=False, default="")
    sts: LoopbackSts = field(init=False)

    def __enter__(self) -> LoopbackIam:  # noqa: PYI034 - Python 3.10 has no Self
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._known: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self.sts = self._stack.enter_context(LoopbackSts(keys=_Active(self), account=ACCOUNT))  # type: ignore[arg-type]
        server = make_server("127.0.0.1", 0, self._gate, threaded=True, request_handler=_Quiet)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def user(self, name: str) -> AccessKey:
        """A new user with one access key."""
        backend().create_user(region_name="us-east-1", user_name=name)
        return self.make_key(name)

    def make_key(self, user: str) -> AccessKey:
        """Another key for a user, known at once."""
        made = backend().create_access_key(user)
        self._known[made.access_key_id] = 0
        self.sts.users[made.access_key_id] = user
        return AccessKey(made.access_key_id, made.secret_access_key)

    def keys(self, user: str) -> dict[str, str]:
        return {key.access_key_id: key.status for key in backend().list_access_keys(user)}

    def key(self, key_id: str) -> SavedAccessKey:
        return backend().access_keys[key_id]

    def works(self, key: AccessKey | None) -> bool:
        record = backend().access_keys.get(key.access_key_id) if key else None
        found = record and (record.status, record.secret_access_key)
        return key is not None and found == ("Active", key.secret_access_key)

    def knows(self, key_id: str) -> bool:
        """Whether a request that a key signs is accepted; the first ones of a new key are not."""
        self.on_use.pop(key_id, lambda: None)()
        record = backend().access_keys.get(key_id)
        if record is None or record.status != "Active":
            return False
        self.sts.users[key_id] = record.user_name
        left = self._known.setdefault(key_id, self.lag)
        self._known[key_id] = max(0, left - 1)
        return left == 0

    def _gate(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        headers = Message()
        for name, value in environ.items():
            if name.startswith(("HTTP_", "CONTENT_")):
                headers[name.removeprefix("HTTP_").replace("_", "-")] = str(value)
        request = Request(environ["PATH_INFO"], headers, body, "iam")
        key_id = request.authorization()["access_key_id"]
        with self._lock:
            self.calls.append((form["Action"], key_id))
            session = self.sts._session(key_id)
            fault = self.faults[form["Action"]].pop(0) if self.faults[form["Action"]] else ""
            if session is None:
                fault = "InvalidClientTokenId"
            elif self.demands_mfa and not session.token:
                fault = "AccessDenied"
            elif not request.is_signed_by(session.secret):
                fault = "SignatureDoesNotMatch"
            if fault not in ("", LOST) and not callable(fault):
                start_response("403 Forbidden", [("Content-Type", "text/xml")])
                return [_ERROR.format(fault, f"{form['Action']} is not for you").encode()]
            form.setdefault("UserName", session.identity.arn.rpartition("/")[2])
            content = urlencode(form).encode()
            environ |= {"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content))}
            answer = self._moto(environ, start_response if fault != LOST else lambda *_: None)
        if callable(fault):
            fault()
        if fault != LOST:
            return answer
        list(answer)
        start_response("503 Service Unavailable", [])
        return [b""]


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Nothing."""
