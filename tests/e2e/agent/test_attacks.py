"""The agent under attack: it answers its own user only, shows its memory to no one, and goes on serving."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper import wire
from credhelper.agent import client

import requirements
from sandbox import until

if sys.platform != "linux":
    pytest.skip("what the agent does is read from /proc", allow_module_level=True)

from credhelper.agent.memory import MOST
from credhelper.agent.server import MOST_CLIENTS, REQUEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER_USER = 65534
MEBIBYTE = 1024 * 1024
MARKER = b"MARKER-7391-SECRET"
BODY = (MARKER + b"." * 14) * 64
HONEST = b"what an honest client asks for"
INTERPRETER = sys.executable if os.geteuid() else "/usr/bin/python3"  # ours may be in root's home
AS_USER: dict[str, object] = (
    {} if os.geteuid() else {"user": OTHER_USER, "group": OTHER_USER, "extra_groups": ()}
)
WAIT = "import sys; sys.stdin.read()"

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")


class Victim:
    """An agent process. The test fails if it ends, or writes to stderr."""

    def __init__(self, command: list[str], directory: Path, **options: object) -> None:
        self.directory = directory
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env={"OF_THE_AGENT": "1"}, **options)
        self.pid = self.process.pid
        self._peers = contextlib.ExitStack()
        until(self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            self.connect().close()
            return True
        return False

    def connect(self, request: bytes = b"") -> socket.socket:
        """A raw connection, and its first request."""
        peer = self._peers.enter_context(socket.socket(socket.AF_UNIX))
        peer.settimeout(30)
        peer.connect(str(self.directory / wire.SOCKET))
        if request:
            peer.sendall(request)
        return peer

    def lease(self, key: str) -> tuple[socket.socket, int]:
        """A connection that holds the lease on a key, and the number of the lease."""
        peer = self.connect(f"mint {key}\n".encode())
        word, number, length = line(peer).split()
        assert word == b"mint"
        receive(peer, int(length))
        return peer, int(number)

    def put(self, key: str, body: bytes, ends: float = 9e9) -> None:
        peer, number = self.lease(key)
        with peer:
            peer.sendall(putting(number, body, ends))
            assert line(peer) == b"ok 1 0\n"

    def first_line(self, request: bytes) -> bytes:
        with self.connect(request + b"\n") as peer:
            return line(peer)

    def answers(self) -> bool:
        return self.first_line(b"status").startswith(b"ok ")

    @property
    def most_resident(self) -> int:
        """The most memory that it has had, in bytes."""
        return int(Path(f"/proc/{self.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        alive = self.process.poll() is None
        self.process.terminate()
        try:
            stderr = self.process.communicate(timeout=30)[1].decode()
        finally:
            self._peers.close()
            self.process.kill()
        assert failed or (alive, stderr, self.process.returncode) == (True, "", 0), stderr


@contextlib.contextmanager
def running(*before: str) -> Iterator[Victim]:
    """An agent in a directory that is short enough for its socket, started by way of a command."""
    with tempfile.TemporaryDirectory(prefix="ch-") as directory:
        command = [*before, *client.command(directory, 900)]
        with Victim(command, Path(directory)) as victim:
            yield victim


@pytest.fixture
def agent() -> Iterator[Victim]:
    with running() as victim:
        yield victim


def line(peer: socket.socket) -> bytes:
    """The next line of the answer; empty where the agent has hung up."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while not found.endswith(b"\n") and (byte := peer.recv(1)):
            found += byte
    return found


def is_readable(peer: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(peer, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def is_hung_up_on(peer: socket.socket) -> bool:
    """Whether the agent hangs up before the time for a request is over."""
    return is_readable(peer, REQUEST_SECONDS / 2) and line(peer) == b""


def receive(peer: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length and (block := peer.recv(length - len(found))):
        found += block
    return found


def putting(number: int, body: bytes, ends: float = 9e9) -> bytes:
    return f"put {number} {len(body)} {ends!r} - - 0 0 of label\n".encode() + body


def in_another_process(task: Callable[[], object], uid: int | None = None) -> int:
    """Start a task in a child process, as another user if given; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    signal.alarm(60)  # if the test has failed, it is not waited for
    try:
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        status = 0 if task() in (None, True) else 2
    except BaseException:  # noqa: BLE001 - the child must not go on with the parent's tests
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve_meanwhile(victim: Victim, attack: Callable[[], object]) -> None:
    """Attack from another process: 95 in 100 honest requests take less than a tenth of that time."""
    victim.put("honest", HONEST)
    began = time.monotonic()
    pid = in_another_process(attack)
    waits = []
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        waits.append(honest_wait(victim))
        time.sleep(0.005)
    lasted = time.monotonic() - began
    assert os.waitstatus_to_exitcode(found[1]) == 0
    waits.sort()
    print(f"{lasted:.1f} s, {len(waits)} answers: 95 in 100 within {waits[len(waits) * 95 // 100]:.4f} s")
    assert len(waits) >= 20
    assert waits[len(waits) * 95 // 100] < lasted / 10


def honest_wait(victim: Victim) -> float:
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):
        connection = wire.connect(str(victim.directory))
        assert connection is not None
        with contextlib.closing(connection):
            assert connection.ask(b"get honest\n") == ("hit", 0, HONEST)
    return time.monotonic() - began


def allow_descriptors(number: int) -> None:
    """Raise the limit of this process, or skip the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        pytest.skip(f"a process here may not open {number} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


@root
class TestAnotherUser:
    """Directory and socket are opened on purpose: what remains is the check at each end."""

    @pytest.fixture
    def open_to_all(self, agent: Victim) -> Victim:
        agent.directory.chmod(0o755)
        (agent.directory / wire.SOCKET).chmod(0o666)
        return agent

    def test_is_hung_up_on_before_a_byte(self, open_to_all: Victim) -> None:
        def ask() -> bool:
            peer = open_to_all.connect()
            with contextlib.suppress(BrokenPipeError):
                peer.sendall(b"status\n")
            return line(peer) == b""

        assert ended(in_another_process(ask, OTHER_USER)) == 0
        assert ended(in_another_process(ask)) == 2
        assert open_to_all.answers()

    def test_can_neither_signal_it_nor_read_its_files(self, open_to_all: Victim) -> None:
        lock = open_to_all.directory / wire.LOCK
        files = [lock, *(Path(f"/proc/{open_to_all.pid}/{name}") for name in ("environ", "maps", "mem"))]

        def touch() -> bool:
            for attempt in (lambda: os.kill(open_to_all.pid, signal.SIGTERM), *(path.open for path in files)):
                with contextlib.suppress(PermissionError):
                    attempt()
                    return False
            return True

        assert ended(in_another_process(touch, OTHER_USER)) == 0
        assert ended(in_another_process(lambda: files[1].open().close())) == 0

    def test_that_pretends_to_be_the_agent_is_not_asked(self, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="ch-") as home, socket.socket(socket.AF_UNIX) as listener:
            directory = Path(home, "credhelper")
            directory.mkdir(0o700)
            listener.bind(str(directory / wire.SOCKET))
            reader, writer = os.pipe()

            def pretend() -> bool:
                listener.listen()  # from here on the socket is whose process this is
                os.write(writer, b".")
                return [receive(listener.accept()[0], 100) for _ in range(2)] == [b"", b""]

            pid = in_another_process(pretend, OTHER_USER)
            os.read(reader, 1)
            with pytest.raises(PermissionError):
                wire.connect(str(directory))
            pending = wire.ask(["dev"], {"XDG_RUNTIME_DIR": home, "HOME": str(tmp_path)})
            assert isinstance(pending, wire.PendingRequest)
            assert (pending.connection, pending.stuck) == (None, True)
            assert ended(pid) == 0


class TestTheSameUser:
    """Without root, a process of the same user."""

    @pytest.fixture
    def sleeper(self) -> Iterator[int]:
        """The process id of an ordinary process of that user."""
        with subprocess.Popen(
            [requirements.program(INTERPRETER), "-c", WAIT], stdin=subprocess.PIPE, **AS_USER
        ) as process:
            until(lambda: b"-c" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
            yield process.pid
            process.communicate()

    @pytest.fixture
    def closed(self) -> Iterator[int]:
        """The process id of an agent of that user, started where core files are wanted."""
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        with tempfile.TemporaryDirectory(prefix="ch-") as name:
            place, directory = Path(name), Path(name, "run")
            package, ignored = Path(wire.__file__).parent, shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, place / "credhelper", ignore=ignored)
            directory.mkdir(0o700)
            if os.geteuid() == 0:
                os.chown(directory, OTHER_USER, OTHER_USER)
            place.chmod(0o755)
            program = [requirements.program(INTERPRETER), "-IS", str(place / "credhelper/__main__.py")]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
            try:
                with Victim(
                    [*program, "agent", "--in", str(directory), "900"], directory, **AS_USER
                ) as agent:
                    yield agent.pid
            finally:
                resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))

    def test_can_neither_open_its_memory_nor_raise_its_core_file_limit(
        self, closed: int, sleeper: int
    ) -> None:
        opening = "import os, sys; os.listdir(sys.argv[1]) if '/fd' in sys.argv[1] else open(sys.argv[1])"
        for name in ("environ", "maps", "mem", "fd"):
            errors = [
                self.run(INTERPRETER, "-c", opening, f"/proc/{pid}/{name}").stderr
                for pid in (closed, sleeper)
            ]
            assert "PermissionError" in errors[0], name
            assert errors[1] == "" or (name == "mem" and restricted_by_yama()), name
        limits = Path(f"/proc/{closed}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 +bytes", limits, re.MULTILINE)

    def test_cannot_attach_a_debugger(self, closed: int, sleeper: int) -> None:
        command = (requirements.program("gdb"), "-nx", "-batch", "-ex", "info registers", "-p")
        for pid in (closed, sleeper):
            found = self.run(*command, str(pid))
            assert found.stdout or "ptrace" in found.stderr
            is_attached = "rip" in found.stdout or "pc " in found.stdout
            assert is_attached == (pid == sleeper) or (pid == sleeper and restricted_by_yama())

    @staticmethod
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **AS_USER)


def restricted_by_yama() -> bool:
    setting = Path("/proc/sys/kernel/yama/ptrace_scope")
    return setting.exists() and setting.read_text().strip() != "0"


VALID = (b"status", b"clear x", b"get k%d", b"renew k%d", b"mint k%d", b"mint m%d")
VERBS = b"get,renew,mint,put,fail,open,drop,asking,clear x,status,,GET".split(b",")
NASTY = (
    *(b"", b"-", b"-1", b"0", b"1", b"2147483648", b"9" * 5000, b"-" + b"9" * 30, b"1e999", b"nan", b"-nan"),
    *(b"inf", b"-inf", b"0x10", b"1_0", b"1.5", b"\xff\xfe", b"\0", b"\xd9\xa3", b"\t", b"x" * 300),
)


class Attacker:
    """Sends malformed requests."""

    def __init__(self, victim: Victim, seed: int) -> None:
        self._victim = victim
        self._random = random.Random(seed)

    def send_frames(self, number: int) -> None:
        """Send that many requests, ten on a connection: the last one is malformed in one place or in all."""
        for turn in range(number // 10):
            peer, lease = self._victim.lease(f"fuzz{turn}")
            valid = [self._random.choice(VALID) for _ in range(8)]
            frames = [frame % turn if b"%" in frame else frame for frame in valid]
            with peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(b"\n".join([*frames, self._wrong(lease)]))
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass

    def _wrong(self, lease: int) -> bytes:
        kind = self._random.randrange(5)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(300)) + b"\n"
        if kind == 1:
            words = [self._random.choice(NASTY) for _ in range(self._random.randrange(10))]
            return b" ".join([self._random.choice(VERBS), *words]) + b"\n"
        if kind == 2:
            return b"x" * self._random.choice([wire.LONGEST_LINE - 1, wire.LONGEST_LINE, 20000])
        number = b"%d" % lease
        fields = [b"put", number, b"5", b"9e9", b"-", b"-", b"0", b"0", b"of", b"label"]
        if self._random.randrange(2):
            fields = [b"fail", number, b"4", b"5"]
        if kind == 3:
            fields[self._random.randrange(1, len(fields))] = self._random.choice(NASTY)
        else:
            del fields[self._random.randrange(1, len(fields)) :]
        return b" ".join(fields) + self._random.choice([b"\n", b"", b"\r\n", b"\0\n"]) + b"12345"


class TestRequests:
    def test_100_000_frames_of_which_a_tenth_is_malformed_do_no_harm(self, agent: Victim) -> None:
        before = agent.descriptors
        serve_meanwhile(agent, lambda: Attacker(agent, 7391).send_frames(100_000))
        until(lambda: agent.descriptors == before)
        assert agent.most_resident < 32 * MEBIBYTE

    def test_a_request_with_too_few_words_is_hung_up_on(self, agent: Victim) -> None:
        puts = ("put", "put {}", "put {} 0 9e9 - - 0", "put {} 0 9e9 - - 0 0")
        for request in (*puts, "fail", "fail {}", "fail {} 4"):
            peer, number = agent.lease("key")
            with peer:
                peer.sendall(request.format(number).encode() + b"\n")
                assert is_hung_up_on(peer), request
            assert agent.answers()

    def test_an_expiry_a_million_years_away_does_not_wake_it(self, agent: Victim) -> None:
        for ends in (9e9, 9.9e14, -9.9e14):
            agent.put("key", HONEST, ends)
            began = agent.processor_seconds
            assert not is_readable(agent.connect(), 0.3)
            assert agent.processor_seconds < began + 0.2, ends
            assert agent.answers()

    def test_a_line_above_8_kib_is_not_read_any_further(self, agent: Victim) -> None:
        start = b"get key"
        with agent.connect(start.ljust(wire.LONGEST_LINE - 1, b"x") + b"\n") as peer:
            assert line(peer).startswith(b"mint ")
        with agent.connect(start.ljust(wire.LONGEST_LINE, b"x")) as peer:
            assert is_hung_up_on(peer)

    def test_a_body_above_1_mib_is_refused_when_announced(self, agent: Victim) -> None:
        peer, number = agent.lease("largest")
        with peer:
            peer.sendall(putting(number, bytes(wire.LARGEST_BODY)))
            assert line(peer) == b"ok 1 0\n"
        peer, number = agent.lease("larger")
        with peer:
            peer.sendall(putting(number, bytes(wire.LARGEST_BODY + 1)).partition(b"\n")[0] + b"\n")
            assert is_hung_up_on(peer)
        with agent.connect(b"get larger\n") as peer:
            assert line(peer).startswith(b"mint ")

    def test_without_the_lease_the_body_of_a_request_is_not_read(self, agent: Victim) -> None:
        holder, number = agent.lease("held")
        for verb in (
            "put {} 1048576 9e9 - - 0 0 of label",
            "fail {} 4 1048576",
            "open {}",
            "drop {}",
            "asking {}",
        ):
            for meant in (number, number + 1, 0, -1):
                with agent.connect(verb.format(meant).encode() + b"\n") as peer:
                    assert is_hung_up_on(peer), (verb, meant)
        with holder:
            holder.sendall(b"drop %d\n" % number)
            assert line(holder) == b"ok 0 0\n"

    def test_descriptors_that_are_passed_along_are_closed(self, agent: Victim) -> None:
        before = agent.descriptors
        for request in (b"status\n", b"half a li", b"nonsense\n"):
            reader, writer = os.pipe()
            with agent.connect() as peer:
                socket.send_fds(peer, [request], [writer] * 100)
                os.close(writer)
                assert os.read(reader, 1) == b""
            os.close(reader)
        until(lambda: agent.descriptors == before)


class TestMemory:
    def test_clients_that_ask_and_never_read_are_hung_up_on(self, agent: Victim) -> None:
        agent.put("large", bytes(MEBIBYTE))

        def pipeline() -> None:
            for _ in range(50):
                peer = agent.connect()
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    peer.sendall(b"get large\n" * 1_000_000)

        serve_meanwhile(agent, pipeline)
        assert agent.most_resident < 128 * MEBIBYTE

    def test_of_200_mib_of_unread_answers_64_mib_are_held(self, agent: Victim) -> None:
        agent.put("large", bytes(MEBIBYTE))
        peers = [agent.connect(b"get large\n") for _ in range(200)]
        assert agent.answers()
        assert agent.most_resident < 128 * MEBIBYTE
        for peer in peers:
            peer.close()
        agent.put("large", bytes(MEBIBYTE))

    def test_answers_that_are_read_take_no_memory(self, agent: Victim) -> None:
        agent.put("large", bytes(MEBIBYTE))
        for _ in range(2 * MOST // MEBIBYTE):
            with agent.connect(b"get large\n") as peer:
                assert line(peer) == b"hit 0 %d\n" % MEBIBYTE
                assert receive(peer, MEBIBYTE) == bytes(MEBIBYTE)

    def test_of_200_mib_of_half_bodies_64_mib_are_held(self, agent: Victim) -> None:
        before = agent.descriptors

        def withhold() -> None:
            peers = []
            for turn in range(200):
                peer, number = agent.lease(f"half{turn}")
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    peer.sendall(putting(number, bytes(wire.LARGEST_BODY))[:-1])
                peers.append(peer)

        serve_meanwhile(agent, withhold)
        until(lambda: agent.descriptors == before)
        agent.put("large", bytes(MEBIBYTE))
        assert agent.most_resident < 128 * MEBIBYTE

    def test_names_of_entries_count_as_well(self, agent: Victim) -> None:
        label = b"l" * (wire.LONGEST_LINE - 200)
        with agent.connect() as peer:
            for turn in range(20_000):
                peer.sendall(b"mint %d\n" % turn)
                number = int(line(peer).split()[1])
                peer.sendall(b"put %d 1 9e9 - - 0 0 of %s\n." % (number, label))
                line(peer)
        assert agent.most_resident < MOST + 32 * MEBIBYTE

    def test_clears_under_a_lease_take_little_memory(self, agent: Victim) -> None:
        holder, number = agent.lease("key")
        with agent.connect() as peer:
            for turn in range(500):
                words = b" ".join(b"%x" % word for word in range(turn * 1000, (turn + 1) * 1000))
                peer.sendall(b"clear %s\n" % words)
                assert line(peer) == b"ok 0 0\n"
        with holder:
            holder.sendall(b"put %d 1 9e9 - - 0 0 of 7a11f\n." % number)
            assert line(holder) == b"ok 0 0\n"
        assert agent.most_resident < 32 * MEBIBYTE

    def test_beyond_the_most_leases_a_client_mints_without_one(self, agent: Victim) -> None:
        def ask() -> None:
            with agent.connect() as peer:
                for turn in range(20_000):
                    peer.sendall(b"mint %d%s\n" % (turn, b"k" * 8000))
                    assert line(peer).startswith(b"mint ")

        serve_meanwhile(agent, ask)
        assert agent.most_resident < 96 * MEBIBYTE


class TestTime:
    def test_slow_peers_are_hung_up_on_but_holders_and_waiters_are_not(self, agent: Victim) -> None:
        """A peer has 5 s for a whole request and to read the answer; a holder and a waiter have longer."""
        began = time.monotonic()
        agent.put("large", bytes(MEBIBYTE))
        holder, number = agent.lease("key")
        waiter = agent.connect(b"get key\n")
        slow = {name: agent.connect(name) for name in (b"", b"get k", b"get large\n")}
        drips = [agent.connect(b"status") for _ in range(20)]
        while {b""} != {told for drip in drips if (told := dripped(drip)) is not None}:
            assert time.monotonic() < began + 60
        assert time.monotonic() > began + REQUEST_SECONDS - 0.5
        for request, peer in slow.items():
            with peer:
                assert len(receive(peer, 2 * MEBIBYTE)) < MEBIBYTE, request
        holder.sendall(putting(number, HONEST))
        assert line(holder) == b"ok 1 0\n"
        while (answer := line(waiter)) == b"wait 0 0\n":
            pass
        assert answer == b"hit 0 %d\n" % len(HONEST)

    def test_1_000_idle_connections_are_closed_and_others_served(self, agent: Victim) -> None:
        before = agent.descriptors
        allow_descriptors(1100)

        def sit() -> None:
            peers = [agent.connect() for _ in range(1000)]
            assert [peer.recv(1) for peer in peers] == [b""] * 1000

        serve_meanwhile(agent, sit)
        until(lambda: agent.descriptors == before)


def dripped(peer: socket.socket) -> bytes | None:
    """Send a byte; what comes in the tenth of a second after it: None for nothing, empty for the end."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        peer.sendall(b" ")
    peer.settimeout(0.02)
    try:
        return peer.recv(1)
    except TimeoutError:
        return None
    except ConnectionResetError:
        return b""


class TestDescriptors:
    def test_of_more_than_4_000_clients_one_waits_in_the_queue(self, agent: Victim) -> None:
        allow_descriptors(MOST_CLIENTS + 100)
        peers = [agent.connect() for _ in range(MOST_CLIENTS)]
        until(lambda: agent.descriptors >= MOST_CLIENTS)
        late = agent.connect(b"status\n")
        assert not is_readable(late, 0.3)
        peers.pop().close()
        assert line(late).startswith(b"ok ")
        for peer in (late, *peers):
            peer.close()

    def test_without_descriptors_it_serves_whom_it_has_without_spinning(self) -> None:
        with running(requirements.program("prlimit"), "--nofile=48:48") as agent:
            holder, number = agent.lease("key")
            waiter = agent.connect(b"get key\n")
            assert line(waiter) == b"wait 0 0\n"
            crowd = [agent.connect() for _ in range(100)]
            until(lambda: agent.descriptors >= 47)
            began = agent.processor_seconds
            for _ in range(2):
                assert line(waiter) == b"wait 0 0\n"
            assert agent.processor_seconds < began + 0.5
            late = agent.connect(b"status\n")
            assert not is_readable(late, 0.1)
            for peer in crowd:
                peer.close()
            assert line(late).startswith(b"ok ")
            holder.sendall(putting(number, HONEST))
            assert line(holder) == b"ok 1 0\n"
            assert line(waiter) == b"hit 0 %d\n" % len(HONEST)

    def test_without_descriptors_and_clients_it_tries_again(self, agent: Victim) -> None:
        soft, hard = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (agent.descriptors, hard))
        peer = agent.connect(b"status\n")
        assert not is_readable(peer, 0.1)
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert is_readable(peer, 10)
        assert line(peer).startswith(b"ok ")


@root
class TestOverwriting:
    @pytest.mark.parametrize(
        "way", ["cleared", "unread", "replaced", "expired", "cleared meanwhile", "in pieces"]
    )
    def test_root_finds_no_copy_in_its_memory(self, agent: Victim, way: str) -> None:
        holder, number = agent.lease("key")
        readers = [agent.connect(b"get key\n") for _ in range(0 if way == "unread" else 5)]
        assert all(line(reader) == b"wait 0 0\n" for reader in readers)
        request = putting(number, BODY, time.time() + 1 if way == "expired" else 9e9)
        if way == "cleared meanwhile":
            assert agent.first_line(b"clear label") == b"ok 0 0\n"
        send(holder, request, 100 if way == "in pieces" else len(request))
        assert line(holder) == b"ok %d 0\n" % (way != "cleared meanwhile")
        for reader in readers:
            assert line(reader).startswith(b"hit 0 ")
            assert receive(reader, len(BODY)) == BODY
        assert way in ("expired", "cleared meanwhile") or in_memory(agent.pid, MARKER)
        if way == "replaced":
            agent.put("key", b"new")
        elif way in ("cleared", "unread", "in pieces"):
            assert agent.first_line(b"clear label") == b"ok 1 0\n"
        until(lambda: agent.first_line(b"status").startswith(b"ok 0 ") or way != "expired")
        assert not in_memory(agent.pid, MARKER)

    @root
    def test_half_a_body_is_overwritten_when_its_sender_ends(self, agent: Victim) -> None:
        holder, number = agent.lease("key")
        send(holder, putting(number, BODY)[:-1], MEBIBYTE)
        assert agent.first_line(b"status").startswith(b"ok 0 ")
        assert in_memory(agent.pid, MARKER)
        holder.close()
        agent.put("key", b"new")
        assert not in_memory(agent.pid, MARKER)


def send(peer: socket.socket, request: bytes, piece: int) -> None:
    """Send a request in pieces, each of which the agent has read before the next one comes."""
    for begin in range(0, len(request), piece):
        peer.sendall(request[begin : begin + piece])
        until(lambda: not any(fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4))))  # the bytes not read yet


def in_memory(pid: int, marker: bytes) -> int:
    """How often a marker occurs in the readable memory of a process."""
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for region in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds, mode, *_ = region.split()
            begin, end = (int(bound, 16) for bound in bounds.split("-"))
            with contextlib.suppress(OSError, ValueError, OverflowError):  # the kernel's own pages
                if mode.startswith("r"):
                    memory.seek(begin)
                    found += memory.read(end - begin).count(marker)
    return found
