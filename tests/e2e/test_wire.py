"""The client's end of the agent's socket: its directory, answers in time, and going on without an agent."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from credhelper import processes, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

OTHER_USER = 65534
CALLERS = 20
LONG = 30.0
"""Seconds after which something does not come at all."""

GET = b"get key\n"

linux = pytest.mark.skipif(sys.platform != "linux", reason="XDG_RUNTIME_DIR is the desktop's on Linux")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The declared directory and a substitute for /tmp, instead of this machine's."""
    declared, shared = tmp_path / "declared", tmp_path / "tmp"
    declared.mkdir(mode=0o700)
    shared.mkdir()
    shared.chmod(0o1777)
    candidates = [(str(declared), "credhelper"), (str(shared), "credhelper-me")]
    monkeypatch.setattr(wire, "_candidates", lambda _: candidates)
    return [declared / "credhelper", shared / "credhelper-me"]


def found() -> str | None:
    return wire.runtime_directory({})


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path another user's; without root, have its owner reported so."""
    if os.geteuid() == 0:
        os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)
        return
    stat_of = os.stat

    def reported(name: str, **options: bool) -> os.stat_result:
        real = stat_of(name, **options)
        foreign = os.path.abspath(name) == str(path)
        return os.stat_result([*real[:4], OTHER_USER, *real[5:]]) if foreign else real

    monkeypatch.setattr(os, "stat", reported)
    monkeypatch.setattr(os, "lstat", lambda name: reported(name, follow_symlinks=False))


class TestRuntimeDirectory:
    def test_under_any_umask_is_made_private_and_found_again(self, places: list[Path]) -> None:
        before = os.umask(0)
        try:
            assert found() == str(places[0])
        finally:
            os.umask(before)
        assert stat.S_IMODE(places[0].stat().st_mode) == 0o700
        assert found() == str(places[0])

    def test_with_another_mode_is_not_used_and_not_changed(self, places: list[Path]) -> None:
        places[0].mkdir()
        for mode in (0o755, 0o777, 0o750, 0o1700, 0o500):
            places[0].chmod(mode)
            assert (found(), stat.S_IMODE(places[0].stat().st_mode)) == (str(places[1]), mode)

    @pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo", "another user's"])
    def test_that_is_not_an_own_directory_is_not_used(
        self, places: list[Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        if kind == "file":
            places[0].touch(0o700)
        elif kind == "fifo":
            os.mkfifo(places[0], 0o700)
        elif kind == "another user's":
            places[0].mkdir(mode=0o700)
            give_away(places[0], monkeypatch)
        else:
            places[0].symlink_to(private if kind == "link" else tmp_path / "nowhere")
        assert found() == str(places[1])
        assert list(private.iterdir()) == []

    def test_in_another_users_directory_is_not_made(self, places: list[Path], monkeypatch) -> None:
        """XDG_RUNTIME_DIR under sudo is the caller's."""
        give_away(places[0].parent, monkeypatch)
        assert found() == str(places[1])
        assert not places[0].exists()
        places[0].mkdir(mode=0o700)
        assert found() == str(places[1])

    def test_without_its_parent_or_in_one_that_others_can_write_is_not_used(self, places: list[Path]) -> None:
        parent = places[0].parent
        parent.rmdir()
        assert (found(), parent.exists()) == (str(places[1]), False)
        parent.mkdir()
        for mode, chosen in ((0o777, 1), (0o770, 1), (0o1777, 0), (0o755, 0)):
            parent.chmod(mode)
            assert found() == str(places[chosen]), oct(mode)

    def test_without_a_safe_place_is_none(self, places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        for place in places:
            place.mkdir(mode=0o755)
        assert found() is None
        monkeypatch.setattr(wire, "_candidates", lambda _: [])
        assert found() is None

    def test_that_disappears_is_not_used(self, places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        make = os.mkdir

        def make_and_lose(path: str, mode: int = 0o777) -> None:
            make(path, mode)
            if path == str(places[0]):
                os.rmdir(path)

        monkeypatch.setattr(os, "mkdir", make_and_lose)
        assert found() == str(places[1])

    @linux
    def test_on_linux_is_declared_or_the_systems_or_in_tmp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module, uid = module_on("linux", monkeypatch), os.geteuid()
        fallbacks = [(f"/run/user/{uid}", "credhelper"), ("/tmp", f"credhelper-{uid}")]
        declared = module._candidates({"XDG_RUNTIME_DIR": "/run/mine"})
        assert list(declared) == [("/run/mine", "credhelper"), *fallbacks]
        for nothing in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "here"}):
            assert list(module._candidates(nothing)) == fallbacks

    @linux
    def test_on_macos_is_in_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "Library/Caches").mkdir(parents=True, mode=0o700)
        module = module_on("darwin", monkeypatch)
        expected = str(tmp_path / "Library/Caches/credhelper")
        assert module.runtime_directory({"XDG_RUNTIME_DIR": "/run/mine"}) == expected

    @linux
    def test_on_windows_is_in_localappdata(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        module = module_on("win32", monkeypatch)
        chosen = module.runtime_directory({"LOCALAPPDATA": str(tmp_path / "Local")})
        assert chosen == str(tmp_path / "Local/credhelper/run")
        assert Path(chosen).is_dir()
        (tmp_path / "file").touch()
        for wrong in ({}, {"LOCALAPPDATA": "here"}, {"LOCALAPPDATA": str(tmp_path / "file")}):
            assert module.runtime_directory(wrong) is None
        assert sorted(os.listdir(tmp_path)) == ["Local", "declared", "file", "tmp"]


def module_on(platform: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of the module as another system loads it."""
    assert wire.__file__ is not None
    spec = importlib.util.spec_from_file_location("wire_elsewhere", wire.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "platform", platform)
    spec.loader.exec_module(module)
    return module


class Pretender:
    """Listens instead of the agent and does with each connection what the test wants."""

    def __init__(self, directory: str, behave: Callable[[socket.socket], None]) -> None:
        self.behave = behave
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(directory) / wire.SOCKET))
        self._listener.listen(100)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer, contextlib.suppress(ConnectionError):
                peer.settimeout(LONG)
                if (asked := peer.recv(65536)) == b"stop\n":
                    return
                if asked:
                    self.behave(peer)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self._listener.getsockname())
            peer.sendall(b"stop\n")
        self._thread.join(LONG)
        self._listener.close()


def says(answer: bytes, times: int = 1, pause: float = 0.0, then: bytes = b"") -> Callable[..., None]:
    """Send an answer a number of times, with pauses, and then another one; then close the connection."""

    def behave(peer: socket.socket) -> None:
        for _ in range(times):
            peer.sendall(answer)
            time.sleep(pause)
        peer.sendall(then)

    return behave


def says_and_stays(answer: bytes) -> Callable[[socket.socket], None]:
    """Say this and nothing more."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(answer)
        poll = select.poll()
        poll.register(peer, 0)  # the end of the other side is reported all the same
        poll.poll(LONG * 1000)

    return behave


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    parent = tempfile.mkdtemp(prefix="ch-")
    monkeypatch.setattr(wire, "_candidates", lambda _: [(parent, "run")])
    yield str(found())
    shutil.rmtree(parent)


@pytest.fixture
def pretend(directory: str) -> Iterator[Callable[[Callable[[socket.socket], None]], None]]:
    with contextlib.ExitStack() as stack:

        def begin(behave: Callable[[socket.socket], None]) -> None:
            stack.callback(Pretender(directory, behave).close)

        yield begin


@pytest.fixture
def connected(directory: str, pretend) -> Iterator[Callable[..., wire.Connection]]:
    """Connects to a pretender that behaves so."""
    with contextlib.ExitStack() as stack:

        def begin(behave: Callable[[socket.socket], None]) -> wire.Connection:
            pretend(behave)
            connection = wire.connect(directory)
            assert connection is not None
            return stack.enter_context(contextlib.closing(connection))

        yield begin


@pytest.fixture
def ask(tmp_path: Path, pretend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., wire.Answer]]:
    """Asks for an answer that could be cached; its connections are closed in the end."""
    connect = wire.connect
    with contextlib.ExitStack() as stack:

        def connect_for_now(place: str) -> wire.Connection | None:
            connection = connect(place)
            return connection and stack.enter_context(contextlib.closing(connection))

        monkeypatch.setattr(wire, "connect", connect_for_now)
        yield lambda *arguments, **environ: wire.ask(["dev", *arguments], {"HOME": str(tmp_path), **environ})


@pytest.fixture
def goes_on(ask: Callable[..., wire.Answer | wire.PendingRequest]) -> Callable[..., wire.PendingRequest]:
    """Asks where no answer is expected."""

    def check(*arguments: str, **environ: str) -> wire.PendingRequest:
        pending = ask(*arguments, **environ)
        assert isinstance(pending, wire.PendingRequest)
        return pending

    return check


CUT = [b"", b"hit", b"hit 0 5\n", b"hit 0 5\nhell", b"wait 0 0\n"]
HALF = [b"h", b"hit 0 5", b"hit 0 5\nhell"]
GARBAGE = [
    *(b"\n", b"hit\n", b"hit 0\n", b"hit 0 0 0\n", b"hit  0 0\n", b"hit x 0\n", b"hit 0 x\n"),
    *(b"hit 0 1.0\n", b"hit 0 \n", b"hit \xd9\xa3 0\n", b"\xff\xfe\n", b"hit 0 0\0\n"),
]
LENGTHS = [-1, -5, wire.LARGEST_BODY + 1, 10**18, 10**100]


class TestConnection:
    @pytest.mark.parametrize(("answer", "slow"), [(b"", "SILENCE"), (b"wait 0 0\n", "FIRST_ANSWER")])
    def test_silence_is_an_error(self, connected, monkeypatch, answer: bytes, slow: str) -> None:
        """300 ms for the first line, 3 s after `wait`: only the limit that is meant is short here."""
        assert (wire.FIRST_ANSWER, wire.SILENCE) == (0.3, 3.0)
        monkeypatch.setattr(wire, "SILENCE", 0.3)
        monkeypatch.setattr(wire, slow, LONG)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connected(says_and_stays(answer)).ask(GET, LONG)
        assert 0.25 < time.monotonic() - began < LONG / 2

    @pytest.mark.parametrize(
        ("behave", "error"),
        [
            *((says_and_stays(answer), TimeoutError) for answer in HALF),
            *((says(answer), ValueError) for answer in GARBAGE),
            *((says_and_stays(b"hit 0 %d\nhello" % length), ValueError) for length in LENGTHS),
            *((says(answer), ConnectionError) for answer in CUT),
            (says_and_stays(bytes(4 * wire.LARGEST_BODY)), ConnectionError),
            (says(b"wait 0 0\n", 200, 0.01, b"hit 0 5\nhello"), TimeoutError),
        ],
    )
    def test_what_is_not_a_whole_answer_in_time_is_an_error(
        self, connected, monkeypatch, behave: Callable[..., None], error: type[Exception]
    ) -> None:
        monkeypatch.setattr(wire, "SILENCE", 0.3)
        with pytest.raises(error):
            connected(behave).ask(GET, 0.2)

    @pytest.mark.parametrize(
        ("behave", "patience"),
        [
            (says(b"wait 0 0\n", 2, wire.FIRST_ANSWER + 0.1, b"hit 0 5\nhello"), LONG),
            (says(b"wait 1 0\n", 50, 0.01, b"hit 0 5\nhello"), 0.1),
        ],
        ids=["slower than the first line may be", "longer during a prompt"],
    )
    def test_after_waiting_the_answer_comes(
        self, connected, monkeypatch: pytest.MonkeyPatch, behave: Callable[..., None], patience: float
    ) -> None:
        monkeypatch.setattr(wire, "MORE_PATIENCE", 2.0)
        assert connected(behave).ask(GET, patience) == ("hit", 0, b"hello")

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_answers_in_pieces_are_told_apart(self, size: int) -> None:
        answers = b"wait 0 0\nhit 0 5\nhell\nmint 7 0\nfail 4 12\nnot allowed\n"
        connection = wire.Connection(Pieces(answers, size))  # type: ignore[arg-type]
        assert connection.ask(b"", LONG) == ("hit", 0, b"hell\n")
        assert connection.ask(b"") == ("mint", 7, b"")
        assert connection.ask(b"") == ("fail", 4, b"not allowed\n")
        with pytest.raises(ConnectionError):
            connection.ask(b"")

    def test_the_largest_body_is_an_answer(self, connected) -> None:
        body = os.urandom(wire.LARGEST_BODY)
        assert connected(says(b"hit 0 %d\n" % len(body) + body)).ask(GET) == ("hit", 0, body)

    def test_a_request_that_is_not_read_is_given_up(self, connected) -> None:
        with pytest.raises(TimeoutError):
            connected(says_and_stays(b"")).ask(bytes(16 * wire.LARGEST_BODY))


class Pieces:
    """A socket that gives `size` bytes at a time."""

    def __init__(self, answers: bytes, size: int) -> None:
        self._left, self._size = answers, size

    def settimeout(self, seconds: float) -> None:
        """Never late."""

    def sendall(self, request: bytes) -> None:
        """Ask."""

    def recv(self, most: int) -> bytes:
        piece, self._left = self._left[: self._size], self._left[self._size :]
        return piece


class TestApproach:
    """A caller that finds no agent starts it, and the others wait for that one."""

    @pytest.fixture
    def waiting(self, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
        """Is released by each caller that is about to wait."""
        counted, wait = threading.Semaphore(0), processes.wait_for_lock
        monkeypatch.setattr(processes, "wait_for_lock", lambda *rest: (counted.release(), wait(*rest)))
        return counted

    @staticmethod
    def start_lock(directory: str) -> int:
        """The lock of a caller that starts the agent; it fails if another one has it."""
        descriptor = os.open(str(Path(directory) / "start.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    @pytest.mark.parametrize("missed", [0, 1], ids=["at once", "after the first look"])
    def test_where_an_agent_listens_none_is_started(
        self, directory: str, pretend, monkeypatch: pytest.MonkeyPatch, missed: int
    ) -> None:
        connect, answers = wire.connect, iter([None] * missed)
        monkeypatch.setattr(wire, "connect", lambda place: connect(place) if next(answers, True) else None)
        monkeypatch.setattr(processes, "wait_for_lock", pytest.fail)
        pretend(says(b"ok 0 0\n"))
        connection, starting = wire.approach(directory)
        assert starting is None
        assert connection is not None
        connection.close()
        os.close(self.start_lock(directory))

    def test_a_caller_that_fails_releases_the_lock(self, directory: str, monkeypatch) -> None:
        """A socket has appeared that does not answer."""
        answers = iter([None, TimeoutError()])

        def connect(_: str) -> None:
            if (answer := next(answers)) is not None:
                raise answer

        monkeypatch.setattr(wire, "connect", connect)
        with pytest.raises(TimeoutError):
            wire.approach(directory)
        os.close(self.start_lock(directory))

    def test_one_starts_it_and_the_others_connect(self, directory: str, waiting: threading.Semaphore) -> None:
        results: list[str] = []
        started: list[Pretender] = []

        def call() -> None:
            connection, starting = wire.approach(directory)
            if starting is not None:
                for _ in range(CALLERS - 1):
                    assert waiting.acquire(timeout=LONG)
                assert results == []
                started.append(Pretender(directory, says(b"")))
                os.close(starting)
            results.append("connected" if connection is not None else "starts it" if starting else "nothing")
            if connection is not None:
                connection.close()

        in_threads(call, CALLERS)
        assert len(started) == 1
        started[0].close()
        assert sorted(results) == ["connected"] * (CALLERS - 1) + ["starts it"]

    def test_after_its_kill_the_others_go_on(self, directory: str, waiting: threading.Semaphore) -> None:
        reader, writer = os.pipe()
        starter = os.fork()
        if starter == 0:
            signal.alarm(int(2 * LONG))
            if wire.approach(directory)[1] is not None:
                os.write(writer, b".")
                signal.pause()
            os._exit(1)
        os.close(writer)
        assert os.read(reader, 1) == b"."
        os.close(reader)
        results: list[object] = []

        def kill() -> None:
            for _ in range(CALLERS):
                assert waiting.acquire(timeout=LONG)
            assert results == []
            os.kill(starter, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        in_threads(lambda: results.append(wire.approach(directory)), CALLERS)
        killer.join(LONG)
        os.waitpid(starter, 0)
        assert results == [(None, None)] * CALLERS

    def test_a_starter_that_hangs_is_given_up(self, directory: str, goes_on, monkeypatch) -> None:
        assert processes.SECONDS == 5
        monkeypatch.setattr(processes, "SECONDS", 0.1)
        lock = self.start_lock(directory)
        pending = goes_on()
        os.close(lock)
        assert (pending.connection, pending.starting, pending.stuck) == (None, None, True)

    def test_a_link_for_the_lock_is_not_followed(self, directory: str, goes_on, tmp_path: Path) -> None:
        (Path(directory) / "start.lock").symlink_to(tmp_path / "victim")
        pending = goes_on()
        assert (pending.connection, pending.starting) == (None, None)
        assert not (tmp_path / "victim").exists()


def in_threads(call: Callable[[], object], number: int) -> None:
    threads = [threading.Thread(target=call) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


class TestAsk:
    """A `get` has an answer or goes on without the agent."""

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (b"hit 0 5\nhello", (0, b"hello", False)),
            (b"refresh 0 5\nhello", (0, b"hello", True)),
            (b"fail 4 5\nhello", (4, b"hello", False)),
        ],
    )
    def test_what_the_agent_has_is_the_answer(self, ask, pretend, said: bytes, expected: object) -> None:
        pretend(says(said))
        answer = ask()
        assert isinstance(answer, wire.Answer)
        assert (answer.status, answer.body, answer.refresh) == expected

    def test_a_lease_is_held_with_the_connection(self, goes_on, pretend, tmp_path: Path) -> None:
        pretend(says_and_stays(b"mint 7 0\n"))
        pending = goes_on()
        assert pending.connection is not None
        assert (pending.lease, pending.key) == (7, wire.hit_key(["dev"], {"HOME": str(tmp_path)}))

    @pytest.mark.parametrize("status", [0, -1, 256, 2**31, 10**30])
    def test_a_failure_without_an_exit_status_is_no_answer(self, goes_on, pretend, status: int) -> None:
        pretend(says(b"fail %d 5\nhello" % status))
        goes_on()

    def test_an_agent_that_does_not_answer_is_stuck(self, goes_on, pretend) -> None:
        pretend(says_and_stays(b""))
        pending = goes_on()
        assert (pending.connection, pending.lease, pending.stuck) == (None, 0, True)

    def test_turned_off_in_a_chain_or_for_help_it_is_not_asked(self, goes_on, pretend) -> None:
        pretend(says(b"hit 0 5\nhello"))
        for pending in (goes_on(CREDHELPER_AGENT="off"), goes_on(CREDHELPER_CHAIN="x"), goes_on("--help")):
            assert (pending.connection, pending.starting, pending.stuck) == (None, None, False)

    def test_with_a_path_too_long_for_a_socket_there_is_no_agent(
        self, tmp_path: Path, goes_on, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "_candidates", lambda _: [(str(tmp_path), "x" * 120)])
        pending = goes_on()
        assert (pending.connection, pending.starting) == (None, None)
        with pytest.raises(OSError, match="too long"):
            wire.connect(str(found()))

    @linux
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
    def test_with_a_read_only_runtime_directory_there_is_no_agent(self, directory: str) -> None:
        program = (
            "from credhelper import wire; ticket = wire.ask(['dev'], {'XDG_RUNTIME_DIR': '%s', 'HOME': '/'});"
            "print(ticket.connection, ticket.starting, wire.runtime_directory({'XDG_RUNTIME_DIR': '%s'}))"
        )
        parent = Path(directory).parent
        (parent / "credhelper").mkdir(mode=0o700)
        mount = f"mount -t tmpfs -o ro,mode=700 tmpfs {parent}/credhelper"
        command = ["unshare", "--mount", "sh", "-c", f'{mount} || exit 77; exec "$@"', "sh", sys.executable]
        command += ["-c", program % (parent, parent)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode == 77 or "unshare" in told.stderr:
            pytest.skip("mounting is not allowed here")
        assert (told.stdout, told.stderr) == (f"None None {parent}/credhelper\n", "")

    def test_whatever_is_said_nothing_is_raised(self, directory: str, ask) -> None:
        pretender = Pretender(directory, says(b""))

        @settings(max_examples=300)
        @example([b"fail ", b"99999999999999999999", b" ", b"0", b"\n"])
        @example([b"hit ", b"9" * 5000, b" ", b"0", b"\n"])
        @example([b"ok ", b"0", b" ", b"5", b"\n", b"hello"])
        @given(some.lists(some.sampled_from(FRAGMENTS) | some.binary(max_size=20), max_size=12))
        def check(fragments: list[bytes]) -> None:
            pretender.behave = says(b"".join(fragments))
            result = ask()
            if isinstance(result, wire.Answer):
                assert 0 <= result.status < 256
                assert re.search(rb"\n(hit|refresh|fail) ", b"\n" + b"".join(fragments))

        try:
            check()
        finally:
            pretender.close()


FRAGMENTS = (
    *(b"hit ", b"refresh ", b"fail ", b"mint ", b"wait ", b"ok ", b"wait 0 0\n", b"hit 0 5\n", b"fail 4 3\n"),
    *(b" ", b"\n", b"0", b"1", b"5", b"-1", b"1048577", b"9" * 30, b"nan", b"\0", b"\xff", b"hello"),
)


class TestRelay:
    @pytest.mark.parametrize(
        ("status", "refresh", "outputs"),
        [(0, False, [b"hello", b""]), (0, True, [b"hello", b""]), (4, False, [b"", b"hello"])],
        ids=["hit", "refresh", "fail"],
    )
    def test_an_answer_goes_to_its_stream(self, status: int, refresh: bool, outputs: list[bytes]) -> None:
        readers, writers = zip(os.pipe(), os.pipe(), strict=True)
        answer = wire.Answer(status, b"hello", refresh=refresh)
        assert relayed(answer, dict(enumerate(writers, 1))) == (True, status, refresh)
        assert [drained(reader) for reader in readers] == outputs

    @pytest.mark.parametrize("path", ["/dev/full", os.devnull])
    def test_where_nothing_can_be_written_no_refresher_is_started(self, path: str) -> None:
        if not os.path.exists(path):
            pytest.skip(f"there is no {path} here")
        stream = os.open(path, os.O_RDONLY if path == os.devnull else os.O_WRONLY)
        assert relayed(wire.Answer(0, b"hello", refresh=True), {1: stream}) == (False, 0, False)

    def test_a_reader_that_stops_in_the_middle_is_a_failure(self) -> None:
        reader, writer = os.pipe()

        def read_a_little() -> None:
            os.read(reader, 100)
            os.close(reader)

        thread = threading.Thread(target=read_a_little)
        thread.start()
        answer = wire.Answer(0, bytes(wire.LARGEST_BODY), refresh=False)
        assert relayed(answer, {1: writer}) == (True, 1, False)
        thread.join(LONG)


def relayed(answer: wire.Answer, streams: dict[int, int]) -> tuple[bool, int, bool]:
    """Relay an answer to these: whether it went out, its status then, and whether a refresher was sent."""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", RELAY, str(answer.status), str(int(answer.refresh)), str(writer)]
    outputs = {"stdout": streams[1], "stderr": streams.get(2)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writer], **outputs) as process:
        for descriptor in (writer, *streams.values()):
            os.close(descriptor)
        process.communicate(answer.body)
        went_out, status, started = drained(reader).split()
    return went_out == b"True", int(status), started == b"True"


RELAY = """\
import os, sys
from credhelper import processes, wire
started = []
processes.send_refresher = lambda: started.append(True)
answer = wire.Answer(int(sys.argv[1]), sys.stdin.buffer.read(), refresh=sys.argv[2] == "1")
went_out = wire.relay(answer)
os.write(int(sys.argv[3]), f"{went_out} {answer.status} {bool(started)}".encode())
os._exit(0)
"""


def drained(reader: int) -> bytes:
    with open(reader, "rb") as pipe:
        return pipe.read()
