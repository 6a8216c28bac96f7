"""`credhelper agent` and `credhelper clear`: start, status, expiry, exit, and what is forgotten."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper import wire

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, agents_in, is_alive, until, write_files

if TYPE_CHECKING:
    from sandbox import Sandbox, SecretService
    from sts import LoopbackSts

OTHER = 65534
MEMORY = '[profiles.memory]\nrole_arn = "arn:aws:iam::222233334444:role/Memory"\ncache = "memory"\n'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = PROFILES + MEMORY + "[keyring]\ntimeout = 20\n"
    write_files(tmp_path_factory.getbasetemp() / "hasty", text + "[agent]\nidle_exit = 1\n")
    return write_files(tmp_path_factory.mktemp("files"), text)


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, files: Path):
    """A sandbox without an agent yet."""
    with sandbox.settled(files):
        yield sandbox


def say(sandbox: Sandbox, *arguments: str) -> str:
    """The output of a command that succeeds."""
    result = sandbox.run(*arguments)
    assert result.status == 0, result.stderr
    return result.stdout.decode()


def started(sandbox: Sandbox) -> int:
    return int(say(sandbox, "agent", "start").removeprefix("started, process "))


def gone(*pids: int) -> None:
    until(lambda: not any(is_alive(pid) for pid in pids))


def sessions(sandbox: Sandbox) -> set[str]:
    """The profiles whose sessions the agent has."""
    status = json.loads(say(sandbox, "agent", "status", "--json"))
    return {session["profile"] for session in status["sessions"]}


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


class TestVerbs:
    def test_start_status_and_stop_say_what_they_did(self, sandbox: Sandbox) -> None:
        assert say(sandbox, "agent", "status") == (
            "no agent is running; the next caller that needs one starts it\n"
        )
        pid = started(sandbox)

        assert agents_in(sandbox.runtime) == [pid]
        assert say(sandbox, "agent", "start") == f"running already, process {pid}\n"
        assert say(sandbox, "agent", "status") == f"running, process {pid}\n"
        assert say(sandbox, "agent", "stop") == "stopped\n"
        assert not is_alive(pid)
        assert not (sandbox.runtime / wire.SOCKET).exists()
        assert say(sandbox, "agent", "stop") == "no agent is running\n"

    def test_status_names_profiles_and_no_secret(self, sandbox: Sandbox) -> None:
        envelope = sandbox.get("developer")
        sandbox.get("audit-root@payments-prod")
        text, document = say(sandbox, "agent", "status"), say(sandbox, "agent", "status", "--json")

        assert "s left  developer\n" in text
        assert sessions(sandbox) == {"developer", "audit-root@payments-prod"}
        assert json.loads(document)["pid"] in agents_in(sandbox.runtime)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
            assert envelope[name] not in text + document

    def test_fifty_starts_leave_one_agent(self, sandbox: Sandbox) -> None:
        callers = [sandbox.start("agent", "start") for _ in range(50)]
        said = {sandbox.finish(caller).stdout.decode() for caller in callers}
        (pid,) = agents_in(sandbox.runtime)

        assert f"started, process {pid}\n" in said
        assert said <= {f"running already, process {pid}\n", f"started, process {pid}\n"}

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_run_ends_with_a_signal_and_is_refused_before(
        self, sandbox: Sandbox, number: signal.Signals
    ) -> None:
        process = sandbox.start("agent", "run")
        until((sandbox.runtime / wire.SOCKET).exists)
        sandbox.get("developer")
        assert "an agent is running already" in sandbox.refuses(1, "agent", "run")
        assert agents_in(sandbox.runtime) == [process.pid]
        assert sessions(sandbox) == {"developer"}
        process.send_signal(number)
        assert sandbox.finish(process).status == 0
        assert not (sandbox.runtime / wire.SOCKET).exists()

    def test_another_value_of_credhelper_agent_is_refused(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        said = sandbox.refuses(2, "get", "developer", CREDHELPER_AGENT="no")

        assert "CREDHELPER_AGENT must be auto or off, not 'no'" in said
        assert (sts.count(), agents_in(sandbox.runtime)) == (0, [])


def test_sighup_makes_it_forget_all_sessions_and_sigterm_ends_it(sandbox: Sandbox, sts: LoopbackSts) -> None:
    first = sandbox.get("developer")
    (pid,) = agents_in(sandbox.runtime)
    os.kill(pid, signal.SIGHUP)
    until(lambda: not sessions(sandbox))
    assert sandbox.get("developer") != first
    assert sts.count() == 2
    assert agents_in(sandbox.runtime) == [pid]
    os.kill(pid, signal.SIGTERM)
    gone(pid)
    assert not (sandbox.runtime / wire.SOCKET).exists()


class TestLeaving:
    @pytest.fixture(name="sandbox")
    def _sandbox(self, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
        """With an agent that leaves after one idle second."""
        sandbox.use_files(tmp_path_factory.getbasetemp() / "hasty")
        return sandbox

    def test_with_nothing_cached_it_leaves_after_idle_exit(self, sandbox: Sandbox) -> None:
        gone(started(sandbox))

        assert not (sandbox.runtime / wire.SOCKET).exists()

    def test_it_leaves_after_a_clear(self, sandbox: Sandbox) -> None:
        sandbox.get("developer")
        (pid,) = agents_in(sandbox.runtime)
        say(sandbox, "clear", "developer")

        gone(pid)


class TestItsPlace:
    @pytest.mark.parametrize("how", ["unlinked", "replaced"])
    def test_without_its_socket_it_ends_and_leaves_anothers(self, sandbox: Sandbox, how: str) -> None:
        pid = started(sandbox)
        path = sandbox.runtime / wire.SOCKET
        connection = wire.connect(str(sandbox.runtime))
        assert connection is not None
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other, closing(connection):
            if how == "replaced":
                other.bind(str(path))
            with suppress(ConnectionError):  # it may have noticed before it came to answer
                connection.ask(b"status\n")
            gone(pid)

        assert path.exists() == (how == "replaced")

    def test_the_socket_of_a_killed_agent_is_replaced(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sandbox.get("developer")
        (pid,) = agents_in(sandbox.runtime)
        os.kill(pid, signal.SIGKILL)
        gone(pid)

        assert (sandbox.runtime / wire.SOCKET).is_socket()
        second = sandbox.get("developer")
        assert sandbox.get("developer") == second
        assert sts.count() == 2
        assert len(agents_in(sandbox.runtime)) == 1

    def test_under_any_umask_its_socket_is_private_at_every_moment(self, sandbox: Sandbox) -> None:
        seen: set[tuple[str, int]] = set()
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.is_set():
                for path in (sandbox.runtime, sandbox.runtime / wire.SOCKET):
                    if path.exists():
                        seen.add((path.name, stat.S_IMODE(path.lstat().st_mode)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        subprocess.run(["sh", "-c", "umask 0; credhelper agent start"], env=sandbox.environ, check=True)
        is_over.set()
        watcher.join()

        assert seen == {("credhelper", 0o700), (wire.SOCKET, 0o600)}
        sandbox.get("developer")
        sandbox.check_modes()

    def test_an_agent_of_another_protocol_version_keeps_its_files(self, sandbox: Sandbox) -> None:
        sandbox.runtime.mkdir(mode=0o700)
        (sandbox.runtime / "agent-2.lock").touch(0o600)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(sandbox.runtime / "agent-2.sock"))
            before = {path: path.stat() for path in sandbox.runtime.iterdir()}
            pid = started(sandbox)
            sandbox.get("developer")
            made = {path.name for path in set(sandbox.runtime.iterdir()) - set(before)}
            say(sandbox, "agent", "stop")
        assert not is_alive(pid)
        assert {"agent-1.sock", "agent-1.lock"} <= made
        assert {path: path.stat() for path in before} == before

    @needs_root
    def test_its_environment_is_empty(self, sandbox: Sandbox) -> None:
        sandbox.get("developer", AWS_SECRET_ACCESS_KEY="MARKERSECRET")
        (pid,) = agents_in(sandbox.runtime)
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""

    @needs_root
    def test_a_runtime_directory_of_another_user_is_not_used(self, sandbox: Sandbox) -> None:
        """As sudo keeps XDG_RUNTIME_DIR."""
        theirs = sandbox.runtime.parent
        os.chown(theirs, OTHER, OTHER)
        before = theirs.stat().st_ctime_ns
        said = say(sandbox, "agent", "start")
        (pid,) = (int(word) for word in said.split() if word.isdigit())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if said.startswith("started"):
            say(sandbox, "agent", "stop")

        assert str(sandbox.runtime).encode() not in command
        assert (list(theirs.iterdir()), theirs.stat().st_ctime_ns) == ([], before)


class TestClear:
    def test_a_profile_is_forgotten_but_not_revoked(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        envelope = sandbox.get("memory")
        sandbox.get("developer")

        said, until_when = say(sandbox, "clear", "memory").rsplit(" ", 1)
        error = abs(moment(until_when.strip()) - moment(envelope["Expiration"]))

        assert said == "memory: forgotten here; AWS cannot revoke the session, it works until"
        assert error <= timedelta(seconds=2)
        assert sessions(sandbox) == {"developer"}
        assert sandbox.get("memory") != envelope
        assert say(sandbox, "clear", "memory", "developer").count("forgotten here") == 2
        assert say(sandbox, "clear", "memory") == "nothing was cached\n"
        assert sts.count() == 3

    def test_a_target_is_cleared_by_alias_or_id_and_all_by_the_profile(self, sandbox: Sandbox) -> None:
        names = ["audit-root@payments-prod", "audit-root@222233334444", "audit-root@333344445555"]
        for name in names:
            sandbox.get(name)

        assert say(sandbox, "clear", "audit-root@222233334444").count("forgotten here") == 1
        assert len(sessions(sandbox)) == 2
        assert say(sandbox, "clear", "audit-root@111122223333").count("forgotten here") == 1
        assert sessions(sandbox) == {"audit-root@333344445555"}
        sandbox.get("audit-root@payments-prod")
        assert say(sandbox, "clear", "audit-root").count("forgotten here") == 2
        assert sessions(sandbox) == set()

    def test_all_reaches_keyring_and_agent(self, sandbox: Sandbox, secret_service: SecretService) -> None:
        for name in ("memory", "developer", "unlock-bucket"):
            sandbox.get(name)

        assert say(sandbox, "clear", "--all").count("it works until") == 3
        assert sessions(sandbox) == set()
        assert say(sandbox, "clear", "--all") == "nothing was cached\n"

    @pytest.mark.parametrize("words", [("developer",), ("--all",)])
    def test_during_a_mint_answers_the_caller_and_keeps_nothing(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService, words: tuple[str, ...]
    ) -> None:
        sts.script.append(faults.slow(3))
        caller = sandbox.start("get", "developer")
        until(lambda: sts.calls)
        say(sandbox, "clear", *words)

        assert sandbox.finish(caller).envelope["AccessKeyId"] == sts.issued[0]["AccessKeyId"]
        assert sessions(sandbox) == set()
        assert say(sandbox, "clear", "--all") == "nothing was cached\n"
        assert sandbox.get("developer")["AccessKeyId"] == sts.issued[1]["AccessKeyId"]

    def test_where_the_agent_does_not_answer_names_stop(self, sandbox: Sandbox) -> None:
        sandbox.get("memory")
        (pid,) = agents_in(sandbox.runtime)
        os.kill(pid, signal.SIGSTOP)

        assert sandbox.refuses(1, "clear", "memory") == (
            "credhelper: error: the agent does not answer\n"
            "credhelper: hint: end it with 'credhelper agent stop'\n"
        )
        assert say(sandbox, "agent", "stop") == "stopped\n"
        gone(pid)
        assert say(sandbox, "clear", "memory") == "nothing was cached\n"


def test_stop_kills_no_process_that_does_not_hold_the_lock(sandbox: Sandbox) -> None:
    """The process id in the lock file is that of another program by now."""
    started(sandbox)
    sandbox.run("agent", "stop")
    bystander = subprocess.Popen(["sleep", "60"])
    (sandbox.runtime / wire.LOCK).write_text(f"{bystander.pid}\n")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(sandbox.runtime / wire.SOCKET))
        silent.listen()
        said = sandbox.refuses(1, "agent", "stop")

    assert "does not answer and is not an agent" in said
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_under_a_strict_umask_its_files_can_be_used(sandbox: Sandbox) -> None:
    command = f"umask 0777; exec {PROGRAM} agent start"
    done = subprocess.run(["sh", "-c", command], env=sandbox.environ, capture_output=True, check=True)

    assert done.stdout.startswith(b"started")
    assert stat.S_IMODE(sandbox.runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE((sandbox.runtime / "start.lock").stat().st_mode) == 0o600
    assert sandbox.run("agent", "status").status == 0


@pytest.mark.parametrize(
    ("sockets", "family", "sentence"),
    [
        ("2", socket.AF_UNIX, "the agent listens at one socket, and was handed over 2"),
        ("1", socket.AF_INET, "the descriptor handed over is not a Unix socket"),
    ],
)
def test_a_socket_that_it_cannot_serve_is_refused(
    sandbox: Sandbox, sockets: str, family: int, sentence: str
) -> None:
    run = ["sh", "-c", "exec 3<&0; LISTEN_PID=$$ exec credhelper agent run </dev/null"]
    environ = {**sandbox.environ, "LISTEN_FDS": sockets}
    with socket.socket(family) as listener:
        done = subprocess.run(run, env=environ, stdin=listener, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"credhelper: error: {sentence}\n")
