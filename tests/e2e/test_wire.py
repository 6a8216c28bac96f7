"""The runtime directory is ours and closed to others; the client gets on with any agent, and without one."""

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

from credhelper import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

NOBODY = 65534
CALLERS = 20
LONG = 30.0
"""Seconds after which something does not come at all."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="XDG_RUNTIME_DIR is the desktop's on Linux")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The declared directory and the one that stands for /tmp, in place of this machine's."""
    declared, shared = tmp_path / "declared", tmp_path / "tmp"
    declared.mkdir(mode=0o700)
    shared.mkdir()
    shared.chmod(0o1777)
    candidates = [(str(declared), "credhelper"), (str(shared), "credhelper-me")]
    monkeypatch.setattr(wire, "_candidates", lambda _: candidates)
    return [declared / "credhelper", shared / "credhelper-me"]


def found() -> str | None:
    """What is chosen."""
    return wire.runtime_directory({})


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path another user's; who may not has its owner reported so instead."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return
    stat_of = os.stat

    def reported(name: str, **options: bool) -> os.stat_result:
        real = stat_of(name, **options)
        foreign = os.path.abspath(name) == str(path)
        return os.stat_result([*real[:4], NOBODY, *real[5:]]) if foreign else real

    monkeypatch.setattr(os, "stat", reported)
    monkeypatch.setattr(os, "lstat", lambda name: reported(name, follow_symlinks=False))


def test_made_private(places: list[Path]) -> None:
    """The directory is made in the declared place, 0700 whatever the umask, and found again."""
    before = os.umask(0)
    try:
        assert found() == str(places[0])
    finally:
        os.umask(before)
    assert stat.S_IMODE(places[0].stat().st_mode) == 0o700
    assert found() == str(places[0])


def test_the_declared_place_is_not_there(places: list[Path]) -> None:
    """A declared directory that does not exist is not made: the next place it is."""
    places[0].parent.rmdir()
    assert found() == str(places[1])
    assert not places[0].parent.exists()


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o1700, 0o500])
def test_open_to_others(places: list[Path], mode: int) -> None:
    """A directory with any other mode is not used, and stays as it is."""
    places[0].mkdir()
    places[0].chmod(mode)
    assert found() == str(places[1])
    assert stat.S_IMODE(places[0].stat().st_mode) == mode


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
def test_not_a_directory(places: list[Path], tmp_path: Path, kind: str) -> None:
    """A link, even to a private directory of ours, a file or a FIFO is not used."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    if kind == "file":
        places[0].touch(0o700)
    elif kind == "fifo":
        os.mkfifo(places[0], 0o700)
    else:
        places[0].symlink_to(private if kind == "link" else tmp_path / "nowhere")
    assert found() == str(places[1])
    assert list(private.iterdir()) == []


def test_somebody_elses(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that somebody else was quicker to make is not used, although it is private."""
    places[0].mkdir(mode=0o700)
    give_away(places[0], monkeypatch)
    assert found() == str(places[1])


def test_a_declared_place_of_somebody_elses(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under sudo XDG_RUNTIME_DIR is the caller's: nothing is made in it, nor is what is ours there used."""
    give_away(places[0].parent, monkeypatch)
    assert found() == str(places[1])
    assert not places[0].exists()
    places[0].mkdir(mode=0o700)
    assert found() == str(places[1])


@pytest.mark.parametrize(("mode", "chosen"), [(0o777, 1), (0o770, 1), (0o1777, 0), (0o755, 0)])
def test_a_declared_place_that_others_can_write(places: list[Path], mode: int, chosen: int) -> None:
    """Where others could put another directory in the place of ours, it is not used."""
    places[0].parent.chmod(mode)
    assert found() == str(places[chosen])


def test_no_place(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no place qualifies, there is none."""
    for place in places:
        place.mkdir(mode=0o755)
    assert found() is None
    monkeypatch.setattr(wire, "_candidates", lambda _: [])
    assert found() is None


def test_a_directory_that_goes_away(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is removed while we look is not used."""
    make = os.mkdir

    def make_and_lose(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        if path == str(places[0]):
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    assert found() == str(places[1])


def module_on(platform: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of the room as another system sees it."""
    assert wire.__file__ is not None
    spec = importlib.util.spec_from_file_location("wire_elsewhere", wire.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "platform", platform)
    spec.loader.exec_module(module)
    return module


@linux
def test_the_places_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declared and absolute, else the system's, else in /tmp under a name of our own."""
    module, uid = module_on("linux", monkeypatch), os.geteuid()
    fallbacks = [(f"/run/user/{uid}", "credhelper"), ("/tmp", f"credhelper-{uid}")]
    declared = module._candidates({"XDG_RUNTIME_DIR": "/run/mine"})
    assert list(declared) == [("/run/mine", "credhelper"), *fallbacks]
    for nothing in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "here"}):
        assert list(module._candidates(nothing)) == fallbacks


@linux
def test_the_place_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has one place, in the user's Library."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Library/Caches").mkdir(parents=True, mode=0o700)
    module = module_on("darwin", monkeypatch)
    expected = str(tmp_path / "Library/Caches/credhelper")
    assert module.runtime_directory({"XDG_RUNTIME_DIR": "/run/mine"}) == expected


@linux
def test_the_place_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows closes LOCALAPPDATA to other users; where it is not declared, there is no place."""
    monkeypatch.chdir(tmp_path)
    module = module_on("win32", monkeypatch)
    chosen = module.runtime_directory({"LOCALAPPDATA": str(tmp_path / "Local")})
    assert chosen == str(tmp_path / "Local/credhelper/run")
    assert Path(chosen).is_dir()
    (tmp_path / "file").touch()
    for wrong in ({}, {"LOCALAPPDATA": "here"}, {"LOCALAPPDATA": str(tmp_path / "file")}):
        assert module.runtime_directory(wrong) is None
    assert sorted(os.listdir(tmp_path)) == ["Local", "declared", "file", "tmp"]


class Pretender:
    """Listens in the agent's place and does with each connection what the test wants."""

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
        """End it, once it is done with those who came before."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self._listener.getsockname())
            peer.sendall(b"stop\n")
        self._thread.join(LONG)
        self._listener.close()


def says(answer: bytes) -> Callable[[socket.socket], None]:
    """Say this and hang up."""
    return lambda peer: peer.sendall(answer)


def says_and_stays(answer: bytes) -> Callable[[socket.socket], None]:
    """Say this and nothing more."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(answer)
        poll = select.poll()
        poll.register(peer, 0)  # the other end's hanging up is told all the same
        poll.poll(LONG * 1000)

    return behave


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A runtime directory that is short enough for a socket, and found."""
    parent = tempfile.mkdtemp(prefix="ch-")
    monkeypatch.setattr(wire, "_candidates", lambda _: [(parent, "run")])
    yield str(found())
    shutil.rmtree(parent)


@pytest.fixture
def pretend(directory: str) -> Iterator[Callable[[Callable[[socket.socket], None]], None]]:
    """Put somebody in the agent's place."""
    with contextlib.ExitStack() as stack:

        def begin(behave: Callable[[socket.socket], None]) -> None:
            stack.callback(Pretender(directory, behave).close)

        yield begin


@pytest.fixture
def environ(tmp_path: Path, pretend, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Of a `get` whose answer could be cached; the connections that it makes are closed in the end."""
    connect = wire.connect
    with contextlib.ExitStack() as stack:

        def connect_for_now(place: str) -> wire.Connection | None:
            connection = connect(place)
            return connection and stack.enter_context(contextlib.closing(connection))

        monkeypatch.setattr(wire, "connect", connect_for_now)
        yield {"HOME": str(tmp_path)}


@contextlib.contextmanager
def connected(directory: str) -> Iterator[wire.Connection]:
    """A connection to whoever listens."""
    connection = wire.connect(directory)
    assert connection is not None
    with contextlib.closing(connection):
        yield connection


class TestConnection:
    """What the other end says, or does not, is an answer in time or an error."""

    def test_no_answer(self, directory: str, pretend) -> None:
        """An agent that says nothing is given up after 300 ms."""
        pretend(says_and_stays(b""))
        with connected(directory) as connection:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                connection.ask(b"get key\n")
            assert wire.FIRST_ANSWER - 0.05 < time.monotonic() - began < wire.SILENCE

    @pytest.mark.parametrize("answer", [b"h", b"hit 0 5", b"hit 0 5\nhell"])
    def test_half_an_answer(self, directory: str, pretend, answer: bytes) -> None:
        """So is one that stops in the middle of its answer."""
        pretend(says_and_stays(answer))
        with connected(directory) as connection, pytest.raises(TimeoutError):
            connection.ask(b"get key\n")

    def test_silence_after_wait(self, directory: str, pretend) -> None:
        """Once it has said `wait` it may say nothing for 3 s, and no longer."""
        pretend(says_and_stays(b"wait 0 0\n"))
        with connected(directory) as connection:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                connection.ask(b"get key\n", LONG)
            assert wire.SILENCE - 0.05 < time.monotonic() - began < LONG

    def test_an_answer_after_waiting(self, directory: str, pretend) -> None:
        """Between a `wait` and what follows, more than 300 ms may pass."""

        def behave(peer: socket.socket) -> None:
            for _ in range(2):
                peer.sendall(b"wait 0 0\n")
                time.sleep(wire.FIRST_ANSWER + 0.1)
            peer.sendall(b"hit 0 5\nhello")

        pretend(behave)
        with connected(directory) as connection:
            assert connection.ask(b"get key\n", LONG) == ("hit", 0, b"hello")

    def test_more_patience_while_a_person_is_asked(self, directory: str, pretend, monkeypatch) -> None:
        """`wait 1 0` says so, and those seconds come on top."""
        monkeypatch.setattr(wire, "MORE_PATIENCE", 2.0)

        def behave(peer: socket.socket) -> None:
            for _ in range(50):
                peer.sendall(b"wait 1 0\n")
                time.sleep(0.01)
            peer.sendall(b"hit 0 5\nhello")

        pretend(behave)
        with connected(directory) as connection:
            assert connection.ask(b"get key\n", 0.1) == ("hit", 0, b"hello")

    def test_patience(self, directory: str, pretend) -> None:
        """However often it says `wait`, nobody waits longer than they want to."""

        def behave(peer: socket.socket) -> None:
            for _ in range(200):
                peer.sendall(b"wait 0 0\n")
                time.sleep(0.01)
            peer.sendall(b"hit 0 5\nhello")

        pretend(behave)
        with connected(directory) as connection, pytest.raises(TimeoutError):
            connection.ask(b"get key\n", 0.2)

    @pytest.mark.parametrize(
        "answer",
        [
            *(b"\n", b"hit\n", b"hit 0\n", b"hit 0 0 0\n", b"hit  0 0\n", b"hit x 0\n", b"hit 0 x\n"),
            *(b"hit 0 1.0\n", b"hit 0 \n", b"hit \xd9\xa3 0\n", b"\xff\xfe\n", b"hit 0 0\0\n"),
        ],
    )
    def test_garbage(self, directory: str, pretend, answer: bytes) -> None:
        """A line that is not a word and two numbers is an error."""
        pretend(says(answer))
        with connected(directory) as connection, pytest.raises(ValueError):  # noqa: PT011 - or a child of it
            connection.ask(b"get key\n")

    @pytest.mark.parametrize("length", [-1, -5, wire.LARGEST_BODY + 1, 10**18, 10**100])
    def test_impossible_length(self, directory: str, pretend, length: int) -> None:
        """A length below 0 or above 1 MiB is an error before a byte of it is waited for."""
        pretend(says_and_stays(b"hit 0 %d\nhello" % length))
        with connected(directory) as connection, pytest.raises(ValueError):  # noqa: PT011 - not a timeout
            connection.ask(b"get key\n")

    @pytest.mark.parametrize("answer", [b"", b"hit", b"hit 0 5\n", b"hit 0 5\nhell", b"wait 0 0\n"])
    def test_hang_up(self, directory: str, pretend, answer: bytes) -> None:
        """An agent that goes before its answer is whole is an error at once."""
        pretend(says(answer))
        with connected(directory) as connection, pytest.raises(ConnectionError):
            connection.ask(b"get key\n", LONG)

    def test_a_line_without_end(self, directory: str, pretend) -> None:
        """A line that goes on and on is given up once it is longer than any answer."""
        pretend(says_and_stays(bytes(4 * wire.LARGEST_BODY)))
        with connected(directory) as connection, pytest.raises(ConnectionError):
            connection.ask(b"get key\n")

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_pieces(self, size: int) -> None:
        """Answers that come a byte at a time, and two in one piece, are told apart."""
        answers = b"wait 0 0\nhit 0 5\nhell\nmint 7 0\nfail 4 12\nnot allowed\n"
        connection = wire.Connection(Pieces(answers, size))  # type: ignore[arg-type]
        assert connection.ask(b"", LONG) == ("hit", 0, b"hell\n")
        assert connection.ask(b"") == ("mint", 7, b"")
        assert connection.ask(b"") == ("fail", 4, b"not allowed\n")
        with pytest.raises(ConnectionError):
            connection.ask(b"")

    def test_the_largest_body(self, directory: str, pretend) -> None:
        """1 MiB is an answer like any other."""
        body = os.urandom(wire.LARGEST_BODY)
        pretend(says(b"hit 0 %d\n" % len(body) + body))
        with connected(directory) as connection:
            assert connection.ask(b"get key\n") == ("hit", 0, body)

    def test_a_request_that_nobody_takes(self, directory: str, pretend) -> None:
        """An agent that does not read what is put is given up."""
        pretend(says_and_stays(b""))
        with connected(directory) as connection, pytest.raises(TimeoutError):
            connection.ask(bytes(16 * wire.LARGEST_BODY))


class Pieces:
    """A socket that gives so many bytes at a time."""

    def __init__(self, answers: bytes, size: int) -> None:
        self._left, self._size = answers, size

    def settimeout(self, seconds: float) -> None:
        """Never late."""

    def sendall(self, request: bytes) -> None:
        """Ask."""

    def recv(self, most: int) -> bytes:
        """Answer."""
        piece, self._left = self._left[: self._size], self._left[self._size :]
        return piece


class TestApproach:
    """Whoever finds no agent starts it, and all others wait for that one."""

    def start_lock(self, directory: str) -> int:
        """The lock of somebody who is starting the agent."""
        descriptor = os.open(str(Path(directory) / "start.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def test_an_agent_listens(self, directory: str, pretend) -> None:
        """Where one listens there is nothing to start, nor to wait for."""
        pretend(says(b"ok 0 0\n"))
        os.close(self.start_lock(directory))
        connection, starting = wire.approach(directory, pytest.fail)
        assert starting is None
        assert connection is not None
        connection.close()

    def test_whoever_cannot_start_it_holds_nobody_up(
        self, directory: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a socket appears that does not answer, the lock is free again at once."""
        answers = iter([None, TimeoutError()])

        def connect(_: str) -> None:
            if (answer := next(answers)) is not None:
                raise answer

        monkeypatch.setattr(wire, "connect", connect)
        with pytest.raises(TimeoutError):
            wire.approach(directory, pytest.fail)
        os.close(self.start_lock(directory))

    def test_one_of_many_starts_it(self, directory: str) -> None:
        """Of 20 callers one is to start it; the others wait until that one is done, and are connected."""
        waiting = threading.Semaphore(0)
        results: list[str] = []
        started: list[Pretender] = []

        def wait(descriptor: int) -> None:
            waiting.release()
            fcntl.flock(descriptor, fcntl.LOCK_SH)

        def call() -> None:
            connection, starting = wire.approach(directory, wait)
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

    def test_the_starter_is_killed(self, directory: str) -> None:
        """Where the starter is killed, those who wait go on at once, without an agent."""
        reader, writer = os.pipe()
        starter = os.fork()
        if starter == 0:
            signal.alarm(int(2 * LONG))
            if wire.approach(directory, lambda _: None)[1] is not None:
                os.write(writer, b".")
                signal.pause()
            os._exit(1)
        os.close(writer)
        assert os.read(reader, 1) == b"."
        os.close(reader)
        waiting = threading.Semaphore(0)
        results: list[object] = []

        def wait(descriptor: int) -> None:
            waiting.release()
            fcntl.flock(descriptor, fcntl.LOCK_SH)

        def kill() -> None:
            for _ in range(CALLERS):
                assert waiting.acquire(timeout=LONG)
            assert results == []
            os.kill(starter, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        in_threads(lambda: results.append(wire.approach(directory, wait)), CALLERS)
        killer.join(LONG)
        os.waitpid(starter, 0)
        assert results == [(None, None)] * CALLERS

    def test_somebody_was_quicker(self, directory: str, pretend, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever gets the lock when the agent is there already does not start another one."""
        connect, tries = wire.connect, iter([True])

        def miss_once(place: str) -> wire.Connection | None:
            return None if next(tries, False) else connect(place)

        pretend(says(b"ok 0 0\n"))
        monkeypatch.setattr(wire, "connect", miss_once)
        connection, starting = wire.approach(directory, pytest.fail)
        assert starting is None
        assert connection is not None
        connection.close()
        os.close(self.start_lock(directory))

    @pytest.mark.parametrize("blocked", [False, True], ids=["", "SIGALRM blocked"])
    def test_a_starter_that_gets_nowhere(
        self, directory: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, blocked: bool
    ) -> None:
        """Nobody waits for a starter for ever; the alarm that sees to it is nobody else's afterwards."""
        monkeypatch.setattr(wire, "STARTING", 0.1)
        before = signal.getsignal(signal.SIGALRM)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM] if blocked else [])
        gives_up = threading.Timer(1, os.close, [self.start_lock(directory)])
        gives_up.start()
        try:
            pending = wire.ask(["dev"], environ)
        finally:
            gives_up.join()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert isinstance(pending, wire.PendingRequest)
        assert (pending.connection, pending.starting, pending.stuck) == (None, None, True)
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)

    def test_the_lock_is_a_link(self, directory: str, environ: dict[str, str], tmp_path: Path) -> None:
        """A link in the place of the lock is not followed; there is no agent then."""
        (Path(directory) / "start.lock").symlink_to(tmp_path / "victim")
        pending = wire.ask(["dev"], environ)
        assert isinstance(pending, wire.PendingRequest)
        assert (pending.connection, pending.starting) == (None, None)
        assert not (tmp_path / "victim").exists()


def in_threads(call: Callable[[], object], number: int) -> None:
    """So many at once, to their end."""
    threads = [threading.Thread(target=call) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


class TestAsk:
    """A `get` has an answer or goes on without the agent, whatever that does."""

    def test_hit(self, directory: str, environ: dict[str, str], pretend) -> None:
        """What is cached is the answer."""
        pretend(says(b"hit 0 5\nhello"))
        answer = wire.ask(["dev"], environ)
        assert isinstance(answer, wire.Answer)
        assert (answer.status, answer.body, answer.refresh) == (0, b"hello", False)

    def test_refresh(self, directory: str, environ: dict[str, str], pretend) -> None:
        """So it is where a refresher is asked for."""
        pretend(says(b"refresh 0 5\nhello"))
        answer = wire.ask(["dev"], environ)
        assert isinstance(answer, wire.Answer)
        assert (answer.status, answer.body, answer.refresh) == (0, b"hello", True)

    def test_fail(self, directory: str, environ: dict[str, str], pretend) -> None:
        """Somebody else's failure is the answer, with its exit status."""
        pretend(says(b"fail 4 5\nhello"))
        answer = wire.ask(["dev"], environ)
        assert isinstance(answer, wire.Answer)
        assert (answer.status, answer.body, answer.refresh) == (4, b"hello", False)

    def test_mint(self, directory: str, environ: dict[str, str], pretend) -> None:
        """A lease is ours as long as the connection is."""
        pretend(says_and_stays(b"mint 7 0\n"))
        pending = wire.ask(["dev"], environ)
        assert isinstance(pending, wire.PendingRequest)
        assert pending.connection is not None
        assert (pending.lease, pending.key) == (7, wire.hit_key(["dev"], environ))

    @pytest.mark.parametrize("status", [0, -1, 256, 2**31, 10**30])
    def test_a_failure_with_no_exit_status(
        self, directory: str, environ: dict[str, str], pretend, status: int
    ) -> None:
        """A failure whose status is none that a process can exit with is no answer."""
        pretend(says(b"fail %d 5\nhello" % status))
        assert isinstance(wire.ask(["dev"], environ), wire.PendingRequest)

    def test_wedged(self, directory: str, environ: dict[str, str], pretend) -> None:
        """An agent that does not answer is not asked again."""
        pretend(says_and_stays(b""))
        pending = wire.ask(["dev"], environ)
        assert isinstance(pending, wire.PendingRequest)
        assert (pending.connection, pending.lease, pending.stuck) == (None, 0, True)

    @pytest.mark.parametrize("given_", [{"CREDHELPER_AGENT": "off"}, {"CREDHELPER_CHAIN": "x"}, {}])
    def test_not_asked(
        self, directory: str, environ: dict[str, str], pretend, given_: dict[str, str]
    ) -> None:
        """Where the agent is not wanted, in a chain, and for help, it is not asked."""
        pretend(says(b"hit 0 5\nhello"))
        pending = wire.ask(["dev"] if given_ else ["dev", "--help"], {**environ, **given_})
        assert isinstance(pending, wire.PendingRequest)
        assert (pending.connection, pending.starting, pending.stuck) == (None, None, False)

    def test_a_path_too_long_for_a_socket(
        self, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A runtime directory whose path is too long for a socket has no agent, and none is started."""
        monkeypatch.setattr(wire, "_candidates", lambda _: [(str(tmp_path), "x" * 120)])
        pending = wire.ask(["dev"], environ)
        assert isinstance(pending, wire.PendingRequest)
        assert (pending.connection, pending.starting) == (None, None)
        with pytest.raises(OSError, match="too long"):
            wire.connect(str(found()))

    @linux
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
    def test_a_runtime_directory_that_cannot_be_written(self, directory: str) -> None:
        """Where nothing can be made in the runtime directory there is no agent, and none is started."""
        program = (
            "from credhelper import wire; ticket = wire.ask(['dev'], {'XDG_RUNTIME_DIR': '%s', 'HOME': '/'});"
            "print(ticket.connection, ticket.starting, wire.runtime_directory({'XDG_RUNTIME_DIR': '%s'}))"
        )
        parent = Path(directory).parent
        (parent / "credhelper").mkdir(mode=0o700)
        mount = f"mount -t tmpfs -o ro,mode=700 tmpfs {parent}/credhelper"
        command = ["unshare", "--mount", "sh", "-c", f'{mount} || exit 77; exec "$@"', "sh", sys.executable]
        told = subprocess.run(
            [*command, "-c", program % (parent, parent)], capture_output=True, text=True, check=False
        )
        if told.returncode == 77 or "unshare" in told.stderr:
            pytest.skip("mounting is not allowed here")
        assert (told.stdout, told.stderr) == (f"None None {parent}/credhelper\n", "")

    def test_it_never_raises(self, directory: str, environ: dict[str, str]) -> None:
        """Whatever the other end says before it hangs up, there is an answer or a ticket."""
        pretender = Pretender(directory, says(b""))

        @settings(max_examples=300)
        @example([b"fail ", b"99999999999999999999", b" ", b"0", b"\n"])
        @example([b"hit ", b"9" * 5000, b" ", b"0", b"\n"])
        @example([b"ok ", b"0", b" ", b"5", b"\n", b"hello"])
        @given(some.lists(some.sampled_from(FRAGMENTS) | some.binary(max_size=20), max_size=12))
        def check(fragments: list[bytes]) -> None:
            pretender.behave = says(b"".join(fragments))
            result = wire.ask(["dev"], environ)
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
    """An answer goes out as it came, and where it cannot, that is said."""

    def test_hit(self) -> None:
        """The envelope goes to stdout, in one write."""
        reader, writer = os.pipe()
        assert relayed(wire.Answer(0, b"hello", refresh=False), {1: writer}) == (True, 0, False)
        assert drained(reader) == b"hello"

    def test_fail(self) -> None:
        """A failure goes to stderr; stdout stays empty."""
        reader, writer = os.pipe()
        error_reader, error_writer = os.pipe()
        answer = wire.Answer(4, b"credhelper: error: no\n", refresh=False)
        assert relayed(answer, {1: writer, 2: error_writer}) == (True, 4, False)
        assert drained(reader) == b""
        assert drained(error_reader) == b"credhelper: error: no\n"

    def test_refresh(self) -> None:
        """A refresher is sent once the answer is out."""
        reader, writer = os.pipe()
        assert relayed(wire.Answer(0, b"hello", refresh=True), {1: writer}) == (True, 0, True)
        assert drained(reader) == b"hello"

    @pytest.mark.parametrize("path", ["/dev/full", os.devnull])
    def test_nothing_goes_out(self, path: str) -> None:
        """Where stdout is full, or only to be read, somebody else has to say so, and nothing is started."""
        if not os.path.exists(path):
            pytest.skip(f"there is no {path} here")
        stream = os.open(path, os.O_RDONLY if path == os.devnull else os.O_WRONLY)
        assert relayed(wire.Answer(0, b"hello", refresh=True), {1: stream}) == (False, 0, False)

    def test_a_pipe_that_does_not_block(self) -> None:
        """A pipe that its owner has made non-blocking gets all of an answer that is larger than the pipe."""
        body = os.urandom(wire.LARGEST_BODY)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        read: list[bytes] = []

        def read_late() -> None:
            select.select([reader], [], [], LONG)
            time.sleep(0.2)  # until it is full
            read.append(drained(reader))

        thread = threading.Thread(target=read_late)
        thread.start()
        assert relayed(wire.Answer(0, body, refresh=False), {1: writer}) == (True, 0, False)
        thread.join(LONG)
        assert read == [body]

    def test_a_reader_that_goes_away(self) -> None:
        """A reader who goes in the middle of an answer is no success."""
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
    command = [sys.executable, "-c", RELAY, str(answer.status), str(int(answer.refresh))]
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*command, str(writer)],
        stdin=subprocess.PIPE,
        stdout=streams[1],
        stderr=streams.get(2),
        pass_fds=[writer],
    ) as process:
        for descriptor in (writer, *streams.values()):
            os.close(descriptor)
        process.communicate(answer.body)
        went_out, status, started = drained(reader).split()
    return went_out == b"True", int(status), started == b"True"


RELAY = """\
import os, sys
from credhelper import wire
started = []
wire._send_refresher = lambda: started.append(True)
answer = wire.Answer(int(sys.argv[1]), sys.stdin.buffer.read(), refresh=sys.argv[2] == "1")
went_out = wire.relay(answer)
os.write(int(sys.argv[3]), f"{went_out} {answer.status} {bool(started)}".encode())
os._exit(0)
"""


def drained(reader: int) -> bytes:
    """All that comes out of a pipe."""
    with open(reader, "rb") as pipe:
        return pipe.read()
