"""`credhelper agent` and `credhelper clear`: how the agent comes, what it forgets, and when it goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper import wire

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, agents_in, is_alive, plant, until, write_files

if TYPE_CHECKING:
    from sandbox import Laptop, SecretService
    from sts import LoopbackSts

OTHER = 65534
MEMORY = '[profiles.memory]\nrole_arn = "arn:aws:iam::222233334444:role/Memory"\ncache = "memory"\n'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = PROFILES + MEMORY + "[keyring]\ntimeout = 20\n"
    write_files(tmp_path_factory.getbasetemp() / "hasty", text + "[agent]\nidle_exit = 1\n")
    return write_files(tmp_path_factory.mktemp("files"), text)


@pytest.fixture(name="laptop")
def _laptop(laptop: Laptop, files: Path):
    """The laptop, on which no agent is running yet."""
    with laptop.settled(files):
        yield laptop


def say(laptop: Laptop, *arguments: str) -> str:
    """What a command prints that succeeds."""
    result = laptop.run(*arguments)
    assert result.status == 0, result.stderr
    return result.stdout.decode()


def started(laptop: Laptop) -> int:
    """The process id of an agent, just started."""
    return int(say(laptop, "agent", "start").removeprefix("started, process "))


def gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    until(lambda: not any(is_alive(pid) for pid in pids))


def sessions(laptop: Laptop) -> set[str]:
    """The profiles whose sessions the agent has."""
    status = json.loads(say(laptop, "agent", "status", "--json"))
    return {session["profile"] for session in status["sessions"]}


def moment(text: str) -> datetime:
    """A time as the program writes it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


class TestVerbs:
    def test_start_status_stop(self, laptop: Laptop) -> None:
        """Each says what it did, and with which process; each may be said twice."""
        assert say(laptop, "agent", "status") == (
            "no agent is running; the next caller that needs one starts it\n"
        )
        pid = started(laptop)

        assert agents_in(laptop.runtime) == [pid]
        assert say(laptop, "agent", "start") == f"running already, process {pid}\n"
        assert say(laptop, "agent", "status") == f"running, process {pid}\n"
        assert say(laptop, "agent", "stop") == "stopped\n"
        assert not is_alive(pid)
        assert not (laptop.runtime / wire.SOCKET).exists()
        assert say(laptop, "agent", "stop") == "no agent is running\n"

    def test_status_names_what_it_has_and_no_secret(self, laptop: Laptop) -> None:
        """Profiles and how long their sessions last, as text and as JSON."""
        envelope = laptop.get("developer")
        laptop.get("audit-root@payments-prod")
        text, document = say(laptop, "agent", "status"), say(laptop, "agent", "status", "--json")

        assert "s left  developer\n" in text
        assert sessions(laptop) == {"developer", "audit-root@payments-prod"}
        assert json.loads(document)["pid"] in agents_in(laptop.runtime)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
            assert envelope[name] not in text + document

    def test_fifty_starts_leave_one_agent(self, laptop: Laptop) -> None:
        """All of them name the same one, and it is the only one."""
        callers = [laptop.start("agent", "start") for _ in range(50)]
        said = {laptop.finish(caller).stdout.decode() for caller in callers}
        (pid,) = agents_in(laptop.runtime)

        assert f"started, process {pid}\n" in said
        assert said <= {f"running already, process {pid}\n", f"started, process {pid}\n"}

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_run_stays_until_it_is_told_to_end(self, laptop: Laptop, number: signal.Signals) -> None:
        """In the foreground, with an exit status of 0 and its socket removed."""
        process = laptop.start("agent", "run")
        until((laptop.runtime / wire.SOCKET).exists)
        laptop.get("developer")

        assert sessions(laptop) == {"developer"}
        process.send_signal(number)
        assert laptop.finish(process).status == 0
        assert not (laptop.runtime / wire.SOCKET).exists()

    def test_one_at_a_time(self, laptop: Laptop) -> None:
        """`agent run` beside an agent is a failure, and the agent stays."""
        pid = started(laptop)

        assert "an agent is running already" in laptop.refuses(1, "agent", "run")
        assert agents_in(laptop.runtime) == [pid]

    def test_a_socket_that_a_supervisor_hands_over(self, laptop: Laptop, sts: LoopbackSts) -> None:
        """It is served, and left where it is, so that the next caller brings the agent back."""
        path = laptop.runtime / wire.SOCKET
        path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            process = subprocess.Popen(
                ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec credhelper agent run 3<&0 </dev/null"],
                env=laptop.environ,
                stdin=listener,
            )
            until(lambda: agents_in(laptop.runtime) == [process.pid])
            laptop.get("developer")
            laptop.get("developer")

            assert sts.count() == 1
            process.terminate()
            assert process.wait() == 0
            assert path.is_socket()

    def test_no_other_word_switches_it_off(self, laptop: Laptop, sts: LoopbackSts) -> None:
        """CREDHELPER_AGENT is auto or off; anything else is exit 2, and nothing is started."""
        said = laptop.refuses(2, "get", "developer", CREDHELPER_AGENT="no")

        assert "CREDHELPER_AGENT must be auto or off, not 'no'" in said
        assert (sts.count(), agents_in(laptop.runtime)) == (0, [])


class TestSignals:
    def test_sigterm_ends_it(self, laptop: Laptop) -> None:
        """And its socket goes with it."""
        pid = started(laptop)
        os.kill(pid, signal.SIGTERM)
        gone(pid)

        assert not (laptop.runtime / wire.SOCKET).exists()

    def test_sighup_makes_it_forget(self, laptop: Laptop, sts: LoopbackSts) -> None:
        """All sessions; the agent stays, and the next caller mints."""
        first = laptop.get("developer")
        (pid,) = agents_in(laptop.runtime)
        os.kill(pid, signal.SIGHUP)
        until(lambda: not sessions(laptop))

        assert laptop.get("developer") != first
        assert sts.count() == 2
        assert agents_in(laptop.runtime) == [pid]


class TestLeaving:
    @pytest.fixture(name="laptop")
    def _laptop(self, laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
        """With an agent that leaves after one idle second."""
        laptop.use_files(tmp_path_factory.getbasetemp() / "hasty")
        return laptop

    def test_with_nothing_to_remember(self, laptop: Laptop) -> None:
        """It leaves by itself, and takes its socket along."""
        gone(started(laptop))

        assert not (laptop.runtime / wire.SOCKET).exists()

    def test_after_the_last_session(self, laptop: Laptop) -> None:
        """It stays while there is one, although nobody asks, and leaves `idle_exit` after its expiry."""
        pid = started(laptop)
        plant(laptop, b"some key", b"bytes", seconds=3.0)
        began = time.monotonic()
        gone(pid)

        assert time.monotonic() - began >= 3.5

    def test_after_a_clear(self, laptop: Laptop) -> None:
        """What is cleared does not keep it."""
        laptop.get("developer")
        (pid,) = agents_in(laptop.runtime)
        say(laptop, "clear", "developer")

        gone(pid)


class TestItsPlace:
    @pytest.mark.parametrize("how", ["unlinked", "replaced"])
    def test_it_leaves_when_nobody_can_find_it(self, laptop: Laptop, how: str) -> None:
        """Once its socket is another one's, or gone, it ends at the next request; that other one stays."""
        pid = started(laptop)
        path = laptop.runtime / wire.SOCKET
        connection = wire.connect(str(laptop.runtime))
        assert connection is not None
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other, closing(connection):
            if how == "replaced":
                other.bind(str(path))
            with suppress(ConnectionError):  # it may have noticed before it came to answer
                connection.ask(b"status\n")
            gone(pid)

        assert path.exists() == (how == "replaced")

    def test_what_a_killed_agent_leaves_is_replaced(self, laptop: Laptop, sts: LoopbackSts) -> None:
        """kill -9: its socket stays, nobody listens there, and the next caller starts another agent."""
        laptop.get("developer")
        (pid,) = agents_in(laptop.runtime)
        os.kill(pid, signal.SIGKILL)
        gone(pid)

        assert (laptop.runtime / wire.SOCKET).is_socket()
        second = laptop.get("developer")
        assert laptop.get("developer") == second
        assert sts.count() == 2
        assert len(agents_in(laptop.runtime)) == 1

    def test_private_from_birth(self, laptop: Laptop) -> None:
        """Whatever the umask: at no moment are the directory and the socket open to anybody else."""
        seen: set[tuple[str, int]] = set()
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.is_set():
                for path in (laptop.runtime, laptop.runtime / wire.SOCKET):
                    if path.exists():
                        seen.add((path.name, stat.S_IMODE(path.lstat().st_mode)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        subprocess.run(["sh", "-c", "umask 0; credhelper agent start"], env=laptop.environ, check=True)
        is_over.set()
        watcher.join()

        assert seen == {("credhelper", 0o700), (wire.SOCKET, 0o600)}
        laptop.get("developer")
        laptop.check_modes()

    def test_wire_versions_live_side_by_side(self, laptop: Laptop) -> None:
        """Socket and lock carry the version of the wire: an agent of another version keeps its own."""
        laptop.runtime.mkdir(mode=0o700)
        (laptop.runtime / "agent-2.lock").touch(0o600)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(laptop.runtime / "agent-2.sock"))
            before = {path: path.stat() for path in laptop.runtime.iterdir()}
            pid = started(laptop)
            laptop.get("developer")
            made = {path.name for path in set(laptop.runtime.iterdir()) - set(before)}
            say(laptop, "agent", "stop")

        assert not is_alive(pid)
        assert {"agent-1.sock", "agent-1.lock"} <= made
        assert {path: path.stat() for path in before} == before

    @needs_root
    def test_its_environment_is_empty(self, laptop: Laptop) -> None:
        """Nothing that the first caller happened to have, keys included, stays for as long as the agent."""
        laptop.get("developer", AWS_SECRET_ACCESS_KEY="MARKERSECRET")
        (pid,) = agents_in(laptop.runtime)

        assert Path(f"/proc/{pid}/environ").read_bytes() == b""

    @needs_root
    def test_a_runtime_directory_of_somebody_else(self, laptop: Laptop) -> None:
        """XDG_RUNTIME_DIR kept by sudo: the agent's place is another one, and theirs stays as it is."""
        theirs = laptop.runtime.parent
        os.chown(theirs, OTHER, OTHER)
        before = theirs.stat().st_ctime_ns
        said = say(laptop, "agent", "start")
        (pid,) = (int(word) for word in said.split() if word.isdigit())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if said.startswith("started"):
            say(laptop, "agent", "stop")

        assert str(laptop.runtime).encode() not in command
        assert (list(theirs.iterdir()), theirs.stat().st_ctime_ns) == ([], before)


class TestClear:
    def test_a_profile(self, laptop: Laptop, sts: LoopbackSts) -> None:
        """What only the agent has is forgotten, and it is said until when it works all the same."""
        envelope = laptop.get("memory")
        laptop.get("developer")

        said, until_when = say(laptop, "clear", "memory").rsplit(" ", 1)
        error = abs(moment(until_when.strip()) - moment(envelope["Expiration"]))

        assert said == "memory: forgotten here; AWS cannot revoke the session, it works until"
        assert error <= timedelta(seconds=2)
        assert sessions(laptop) == {"developer"}
        assert laptop.get("memory") != envelope
        assert say(laptop, "clear", "memory", "developer").count("forgotten here") == 2
        assert say(laptop, "clear", "memory") == "nothing was cached\n"
        assert sts.count() == 3

    def test_one_target_of_a_profile(self, laptop: Laptop) -> None:
        """PROFILE@TARGET is that one, by its alias or its id; the bare name is all of them."""
        names = ["audit-root@payments-prod", "audit-root@222233334444", "audit-root@333344445555"]
        for name in names:
            laptop.get(name)

        assert say(laptop, "clear", "audit-root@222233334444").count("forgotten here") == 1
        assert len(sessions(laptop)) == 2
        assert say(laptop, "clear", "audit-root@111122223333").count("forgotten here") == 1
        assert sessions(laptop) == {"audit-root@333344445555"}
        laptop.get("audit-root@payments-prod")
        assert say(laptop, "clear", "audit-root").count("forgotten here") == 2
        assert sessions(laptop) == set()

    def test_everything(self, laptop: Laptop, secret_service: SecretService) -> None:
        """`--all` reaches the keyring and the agent, whichever of them has it."""
        for name in ("memory", "developer", "unlock-bucket"):
            laptop.get(name)

        assert say(laptop, "clear", "--all").count("it works until") == 3
        assert sessions(laptop) == set()
        assert say(laptop, "clear", "--all") == "nothing was cached\n"

    @pytest.mark.parametrize("words", [("developer",), ("--all",)])
    def test_a_mint_under_way_is_not_kept(
        self, laptop: Laptop, sts: LoopbackSts, secret_service: SecretService, words: tuple[str, ...]
    ) -> None:
        """Cleared while STS takes its time: the caller is answered, and nobody keeps what it got."""
        sts.script.append(faults.slow(3))
        caller = laptop.start("get", "developer")
        until(lambda: sts.calls)
        say(laptop, "clear", *words)

        assert laptop.finish(caller).envelope["AccessKeyId"] == sts.issued[0]["AccessKeyId"]
        assert sessions(laptop) == set()
        assert say(laptop, "clear", "--all") == "nothing was cached\n"
        assert laptop.get("developer")["AccessKeyId"] == sts.issued[1]["AccessKeyId"]

    def test_an_agent_that_does_not_answer(self, laptop: Laptop) -> None:
        """`clear` cannot promise anything and names it; `agent stop` ends it."""
        laptop.get("memory")
        (pid,) = agents_in(laptop.runtime)
        os.kill(pid, signal.SIGSTOP)

        assert laptop.refuses(1, "clear", "memory") == (
            "credhelper: error: the agent does not answer\n"
            "credhelper: hint: end it with 'credhelper agent stop'\n"
        )
        assert say(laptop, "agent", "stop") == "stopped\n"
        gone(pid)
        assert say(laptop, "clear", "memory") == "nothing was cached\n"


def test_whoever_has_the_process_id_of_an_agent_that_is_gone_is_left_alone(laptop: Laptop) -> None:
    """`agent stop`, where what listens does not answer, kills nobody who does not hold the lock."""
    started(laptop)
    laptop.run("agent", "stop")
    bystander = subprocess.Popen(["sleep", "60"])
    (laptop.runtime / wire.LOCK).write_text(f"{bystander.pid}\n")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(laptop.runtime / wire.SOCKET))
        silent.listen()
        said = laptop.refuses(1, "agent", "stop")

    assert "is no agent of ours" in said
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_strict_umask_does_no_harm(laptop: Laptop) -> None:
    """What is made under any umask can be used by those who come later."""
    command = f"umask 0777; exec {PROGRAM} agent start"
    done = subprocess.run(["sh", "-c", command], env=laptop.environ, capture_output=True, check=True)

    assert done.stdout.startswith(b"started")
    assert stat.S_IMODE(laptop.runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE((laptop.runtime / "start.lock").stat().st_mode) == 0o600
    assert laptop.run("agent", "status").status == 0


@pytest.mark.parametrize(
    ("sockets", "family", "status", "said"),
    [
        ("2", socket.AF_UNIX, 2, "the agent listens at one socket, and was handed over 2"),
        ("1", socket.AF_INET, 2, "what was handed over is no Unix socket"),
    ],
)
def test_what_it_cannot_listen_at_is_refused(
    laptop: Laptop, sockets: str, family: int, status: int, said: str
) -> None:
    """A supervisor that hands over something else is told so in a sentence."""
    run = "exec 3<&0; LISTEN_PID=$$ exec credhelper agent run </dev/null"
    with socket.socket(family) as listener:
        done = subprocess.run(
            ["sh", "-c", run],
            env={**laptop.environ, "LISTEN_FDS": sockets},
            stdin=listener,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"credhelper: error: {said}\n")
