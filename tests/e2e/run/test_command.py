"""The environment, signals and exit status of a command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import botocore.session
import pytest

from credhelper.awsconfig import profiles as awsconfig_profiles
from credhelper.credentials import Clocks, Credentials
from credhelper.errors import ConfigError
from credhelper.run import command as run_command
from credhelper.run import environment
from credhelper.run.environment import Context

import requirements
from sandbox import is_alive, until
from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

MINTED = Credentials(
    access_key_id="ASIAEXAMPLE",
    secret_access_key="secret",
    session_token="token",
    expiration=1795332600,
    life=900.0,
    skew=0.0,
    minted=Clocks(1795331700.0),
)
EXPORTED = {
    "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_CREDENTIAL_EXPIRATION": "2026-11-22T07:30:00Z",
    "CREDHELPER_PROFILE": "unlock-bucket",
    "CREDHELPER_ACCOUNT": "111122223333",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
CONTEXT = Context("unlock-bucket", "111122223333", "eu-west-1")
ENDPOINT = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "ours",
}
STALE = {
    "AWS_PROFILE": "x",
    "AWS_DEFAULT_PROFILE": "x",
    "AWS_SECURITY_TOKEN": "x",
    "AWS_ROLE_ARN": "x",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "x",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/x",
}
WINNING = [
    "aws_access_key_id",
    "role_arn",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
    "login_session",
    "credential_process",
]


class TestEnvironment:
    def test_exported_variables_are_those_of_the_contract(self) -> None:
        assert environment.with_session({}, MINTED, CONTEXT) == EXPORTED
        assert environment.exported({"PATH": "/bin", "AWS_PROFILE": "x"}, MINTED, CONTEXT) == EXPORTED

    def test_callers_other_variables_are_kept(self) -> None:
        own = {"PATH": "/bin", "AWS_PAGER": "less", "AWS_CONFIG_FILE": "/c", "AWS_CA_BUNDLE": "/ca"}
        caller = {**own, **STALE, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SESSION_TOKEN": "x"}

        assert environment.with_session(caller, MINTED, CONTEXT) == {**own, **EXPORTED}

    def test_variables_of_an_outer_exec_are_removed(self) -> None:
        caller = {"CREDHELPER_ACCOUNT": "999988887777", "CREDHELPER_PROFILE": "outer"}
        given = environment.with_session(caller, MINTED, Context("inner", None, None))

        assert given["CREDHELPER_PROFILE"] == "inner"
        assert "CREDHELPER_ACCOUNT" not in given

    @pytest.mark.parametrize(
        ("caller", "profiles", "expected"),
        [
            ({}, "eu-west-1", ("eu-west-1", "eu-west-1")),
            ({}, None, (None, None)),
            ({"AWS_REGION": "us-east-1"}, "eu-west-1", ("us-east-1", "us-east-1")),
            ({"AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1", ("us-east-1", "us-east-1")),
            ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "eu-west-1", ("a", "b")),
            ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "eu-west-1", ("eu-west-1", "eu-west-1")),
            ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "b"}, None, ("b", "b")),
        ],
    )
    def test_callers_region_beats_the_profiles(self, caller, profiles, expected) -> None:
        for given in (
            environment.with_session(caller, MINTED, Context("p", None, profiles)),
            environment.with_server(caller, ENDPOINT, Context("p", None, profiles)),
        ):
            assert (given.get("AWS_REGION"), given.get("AWS_DEFAULT_REGION")) == expected


class TestServedEnvironment:
    def test_served_environment_has_no_keys(self) -> None:
        mine = {name: "x" for name in EXPORTED if name.startswith("AWS_") and "REGION" not in name}
        keys = {**mine, "AWS_ACCESS_KEY": "x", "AWS_SECRET_KEY": "x"}
        given = environment.with_server({"PATH": "/bin", **STALE, **keys}, ENDPOINT, CONTEXT)
        context = {name: value for name, value in EXPORTED.items() if name not in keys}

        assert given == {"PATH": "/bin", **context, **ENDPOINT}

    @pytest.mark.parametrize("where", ["config", "credentials"])
    @pytest.mark.parametrize("key", WINNING)
    def test_key_in_default_is_refused_without_its_value(self, tmp_path, key, where) -> None:
        files = _aws_files(tmp_path, **{where: f"[default]\nregion = eu-west-1\n{key} = SECRET\n"})
        with pytest.raises(ConfigError) as caught:
            environment.refuse_default_keys(awsconfig_profiles.read(files))

        path = tmp_path / where
        assert caught.value.sentence == f"'{path}': '{key}' in [default] takes precedence over --serve"
        assert "SECRET" not in str(caught.value.hints)

    def test_keys_in_other_profiles_are_accepted(self, tmp_path) -> None:
        config = "[default]\nregion = eu-west-1\noutput = json\n[profile a]\naws_access_key_id = AKIA\n"
        environment.refuse_default_keys(awsconfig_profiles.read(_aws_files(tmp_path, config=config)))

    @pytest.mark.parametrize("key", [*WINNING, "region", "output"])
    def test_botocore_prefers_the_same_keys_of_default(self, tmp_path, monkeypatch, key) -> None:
        files = _aws_files(tmp_path, config=f"[default]\n{key} = x\n{MORE.get(key, '')}")
        for name, value in {**files, **ENDPOINT}.items():
            monkeypatch.setenv(name, value)
        asked = []
        fetcher = "botocore.utils.ContainerMetadataFetcher.retrieve_full_uri"
        monkeypatch.setattr(fetcher, lambda *_, **__: asked.append(1) or ANSWER)
        with contextlib.suppress(Exception):  # it stumbles over the key: that is as good as winning
            botocore.session.Session().get_credentials()

        assert bool(asked) is (key in ("region", "output"))


MORE = {  # what botocore needs besides these; other SDKs need less
    "aws_access_key_id": "aws_secret_access_key = x",
    "sso_session": "sso_account_id = 1",
    "sso_start_url": "sso_role_name = x",
}
ANSWER = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2096-11-22T00:00:00Z"}


def _aws_files(directory: Path, config: str = "", credentials: str = "") -> dict[str, str]:
    (directory / "config").write_text(config)
    (directory / "credentials").write_text(credentials)
    return {
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
    }


PROGRAM = """\
import os, sys
from credhelper.run import command as run
from credhelper.errors import CredhelperError, render
try:
    status = run.run(sys.argv[2:], dict(os.environ), replace=sys.argv[1] == "replace")
except CredhelperError as error:
    sys.stderr.buffer.write(render(error))
    status = error.status
sys.exit(status)
"""

BOTH = pytest.mark.parametrize("how", ["attend", "replace"])


@pytest.fixture(name="wrapper")
def _wrapper(tmp_path) -> str:
    """A program that runs a command: its first argument says how."""
    return _executable(tmp_path / "wrapper.py", PROGRAM)


def _start(wrapper: str, how: str, *command: str, **options) -> subprocess.Popen[str]:
    words = [sys.executable, wrapper, how, *command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, **{**pipes, "text": True, **options})


def _ready(wrapper: str, *command: str) -> subprocess.Popen[str]:
    """A command that has said that it is ready, in a session of its own."""
    process = _start(wrapper, "attend", *command, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _executable(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


@BOTH
class TestRun:
    @pytest.mark.parametrize("status", [0, 255])
    def test_exit_status_and_output_are_the_commands(self, wrapper, how, status) -> None:
        done = _finish(_start(wrapper, how, "sh", "-c", f"echo out; echo err >&2; exit {status}"))

        assert done == (status, "out\n", "err\n")

    def test_missing_program_exits_127(self, wrapper, how) -> None:
        for name in ("no-such-program", "./no-such-program"):
            said = f"credhelper: error: '{name}' not found\n"

            assert _finish(_start(wrapper, how, name)) == (127, "", said)

    def test_program_that_cannot_run_exits_126(self, wrapper, how, tmp_path) -> None:
        files = {"plain": (0o644, ""), "script": (0o755, "#!/no/such\n"), "noise": (0o755, "\x01\x02")}
        for name, (mode, text) in files.items():
            _executable(tmp_path / name, text, mode)
        for name, why in (
            ("plain", "is not executable"),
            ("", "is not executable"),
            ("script", "cannot be run: no such file or directory"),
            ("noise", "cannot be run: exec format error"),
        ):
            status, _, said = _finish(_start(wrapper, how, f"{tmp_path}/{name}"))

            assert (status, said.splitlines()[0]) == (126, f"credhelper: error: '{tmp_path}/{name}' {why}")

    def test_file_on_the_path_that_is_not_executable_exits_126(self, wrapper, how, tmp_path) -> None:
        (tmp_path / "tool").write_text("")
        environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin"}
        assert _finish(_start(wrapper, how, "tool", env=environ))[0] == 126

        (tmp_path / "true").write_text("")
        assert _finish(_start(wrapper, how, "true", env=environ))[0] == 0

    def test_program_is_searched_in_the_commands_path(self, wrapper, how) -> None:
        environ = {name: value for name, value in os.environ.items() if name != "PATH"}
        assert _finish(_start(wrapper, how, "true", env=environ))[0] == 0
        assert _finish(_start(wrapper, how, "true", env={**environ, "PATH": "/nowhere"}))[0] == 127

    def test_without_a_command_the_users_shell_runs(self, wrapper, how, tmp_path) -> None:
        environ = {**os.environ, "SHELL": _executable(tmp_path / "myshell", "#!/bin/sh\necho mine $#\n")}
        assert _finish(_start(wrapper, how, env=environ)) == (0, "mine 0\n", "")

        sh = _start(wrapper, how, env={**environ, "SHELL": ""}, stdin=subprocess.PIPE)
        assert sh.communicate("echo $0; exit 3", timeout=20) == ("/bin/sh\n", "")
        assert sh.returncode == 3

    def test_sigpipe_is_not_ignored_in_the_command(self, wrapper, how) -> None:
        status, said, _ = _finish(_start(wrapper, how, "sh", "-c", "kill -PIPE $$; echo ignored"))

        assert said == ""
        assert status == (141 if how == "attend" else -signal.SIGPIPE)

    @pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
    def test_signal_ignored_by_the_caller_stays_ignored(self, wrapper, how, name) -> None:
        ask = f"import signal; print(signal.getsignal(signal.SIG{name}) == signal.SIG_IGN)"
        script = f'trap "" {name}; exec "$0" "$@"'
        words = ["sh", "-c", script, sys.executable, wrapper, how, sys.executable, "-c", ask]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)

        assert done.stdout == "True\n"

    def test_inherited_descriptors_reach_the_command(self, wrapper, how) -> None:
        reader, writer = os.pipe()
        os.write(writer, b"handed over")
        os.close(writer)
        words = f"cat /dev/fd/{reader}; echo; ls /proc/$$/fd"
        _, said, _ = _finish(_start(wrapper, how, "sh", "-c", words, pass_fds=[reader]))
        os.close(reader)

        assert sorted(said.splitlines()) == sorted(["handed over", "0", "1", "2", str(reader)])


def test_command_gets_the_environment_given(tmp_path) -> None:
    _executable(tmp_path / "tool", '#!/bin/sh\ntest "$A$HOME" = b\n')

    assert run_command.run(["tool"], {"PATH": str(tmp_path), "A": "b"}) == 0


def test_replace_keeps_the_process_id(wrapper) -> None:
    process = _start(wrapper, "replace", "sh", "-c", "echo $$")
    assert _finish(process)[1] == f"{process.pid}\n"


def test_signal_handlers_and_descriptors_are_restored(tmp_path) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    descriptors = len(os.listdir("/proc/self/fd"))

    assert run_command.run(["sh", "-c", "kill -TERM $PPID; sleep 0.1; exit 5"], dict(os.environ)) in (5, 143)
    with pytest.raises(run_command.NotFoundError):
        run_command.run(["no-such-program"], dict(os.environ))
    noise = _executable(tmp_path / "noise", "\x01")
    for replace in (False, True):
        with pytest.raises(run_command.NotExecutableError):
            run_command.run([noise], dict(os.environ), replace=replace)

    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    assert signal.set_wakeup_fd(-1) == -1
    assert len(os.listdir("/proc/self/fd")) == descriptors


COUNT = """\
import os, signal, sys, time
seen, names = [], {number: number.name[3:] for number in signal.Signals}
def got(number, _):
    seen.append(names[number])
    os.write(1, b"got it\\n")
for name in sys.argv[2:]:
    signal.signal(getattr(signal, "SIG" + name), got)
print("ready", flush=True)
ends, counted = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < ends:
    time.sleep(0.02)
    if len(seen) > counted:  # a second one would come at once
        counted, ends = len(seen), time.monotonic() + 0.2
print("saw", *seen, flush=True)
sys.exit(40 + len(seen))
"""

LOOP = """\
import signal, time
signal.signal(signal.SIGCONT, lambda *_: print("continued", flush=True))
print("ready", flush=True)
while True:
    time.sleep(1)
"""


def _counting(seconds: float, *names: str) -> list[str]:
    return [sys.executable, "-c", COUNT, str(seconds), *names]


class TestSignals:
    @pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "TSTP", "WINCH", "USR1", "USR2", "CONT"])
    def test_signal_reaches_the_command_once(self, wrapper, name) -> None:
        process = _ready(wrapper, *_counting(10, name))
        process.send_signal(getattr(signal, f"SIG{name}"))

        assert _finish(process) == (41, f"got it\nsaw {name}\n", "")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_command_killed_by_a_signal_exits_128_plus_signal(self, wrapper, number) -> None:
        process = _ready(wrapper, "sh", "-c", "echo ready; exec sleep 30")
        process.send_signal(number)

        assert _finish(process)[0] == 128 + number

    def test_signal_during_the_start_is_not_lost(self, wrapper) -> None:
        for delay in range(5):
            process = _start(wrapper, "attend", "sleep", "30", start_new_session=True)
            until(lambda pid=process.pid: _catches(pid, signal.SIGTERM), 10)
            time.sleep(delay / 2000)
            process.send_signal(signal.SIGTERM)

            assert _finish(process)[0] == 128 + signal.SIGTERM

    def test_signal_to_another_thread_reaches_the_command(self, tmp_path) -> None:
        threaded = tmp_path / "threaded.py"
        threaded.write_text(
            "import os, signal, sys, threading\nfrom credhelper.run import command as run\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
            "os._exit(run.run(sys.argv[2:], dict(os.environ)))\n"
        )
        unblocked = f"import signal; signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\n{COUNT}"
        process = _ready(str(threaded), sys.executable, "-c", unblocked, "10", "TERM")
        process.send_signal(signal.SIGTERM)

        assert _finish(process)[:2] == (41, "got it\nsaw TERM\n")

    def test_command_stopped_alone_does_not_stop_this_process(self, wrapper) -> None:
        process = _ready(wrapper, *_counting(1.0))
        (child,) = _children(process.pid)
        os.kill(child, signal.SIGSTOP)
        until(lambda: _state(child) == "T")
        time.sleep(0.1)
        assert _state(process.pid) == "S"
        os.kill(child, signal.SIGCONT)

        assert _finish(process) == (40, "saw\n", "")

    def test_ending_foreign_child_does_not_end_the_wait(self, wrapper) -> None:
        words = [sys.executable, wrapper, "attend", "sh", "-c", "sleep 0.3; exit 6"]
        script = '(sleep 0.1) & exec "$0" "$@"'
        done = subprocess.run(["sh", "-c", script, *words], timeout=20, check=False)

        assert done.returncode == 6

    def test_ignored_sigchld_keeps_the_exit_status(self, wrapper) -> None:
        words = [sys.executable, wrapper, "attend", "sh", "-c", "exit 6"]
        done = subprocess.run(["bash", "-c", 'trap "" CHLD; exec "$0" "$@"', *words], timeout=20, check=False)

        assert done.returncode == 6


def _catches(pid: int, number: int) -> bool:
    with contextlib.suppress(OSError):
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
    return False


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(name="terminal")
def _terminal(tmp_path) -> Iterator[Terminal]:
    """An interactive shell with job control on a terminal."""
    environ = {**os.environ, "PS1": "", "TERM": "dumb", "HISTFILE": "", "HOME": str(tmp_path)}
    shell = [requirements.program("bash"), "--norc", "--noprofile", "--noediting", "-i"]
    terminal = Terminal(SimpleNamespace(home=tmp_path, environ=environ), shell)
    terminal.types("stty -echo; echo shell=$$\n")
    terminal.sees(r"shell=\d+\r\n")
    yield terminal
    os.close(terminal._terminal)
    with contextlib.suppress(ProcessLookupError):
        os.kill(terminal.pid, signal.SIGKILL)
    os.waitpid(terminal.pid, 0)


def _typed(wrapper: str, *command: str) -> str:
    words = " ".join(f"'{word}'" for word in (sys.executable, wrapper, "attend", *command))
    return f"{words}; echo status=$?\n"


@pytest.mark.alone
class TestTerminal:
    @pytest.fixture(name="counter")
    def _counter(self, tmp_path) -> str:
        path = tmp_path / "count.py"
        path.write_text(COUNT)
        return str(path)

    @pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT")])
    def test_interrupt_key_reaches_the_command_once(self, wrapper, terminal, counter, key, name) -> None:
        terminal.types(_typed(wrapper, sys.executable, counter, "10", name))
        terminal.sees("ready\r\n")
        for _ in range(6):  # now and then two come at the same moment and count as one
            terminal.types(key)
            terminal.sees("got it\r\n")

        assert terminal.sees(r"saw([ A-Z]*)\r\n")[1] == f" {name}" * 6
        assert terminal.sees(r"status=(\d+)")[1] == "46"

    def test_interrupt_key_exits_130(self, wrapper, terminal) -> None:
        terminal.types(_typed(wrapper, "sh", "-c", "echo ready; exec sleep 30"))
        terminal.sees("ready\r\n")
        terminal.types("\x03")

        assert terminal.sees(r"status=(\d+)")[1] == "130"

    def test_suspended_command_returns_the_terminal(self, wrapper, terminal, tmp_path) -> None:
        (tmp_path / "loop.py").write_text(LOOP)
        terminal.types(_typed(wrapper, sys.executable, str(tmp_path / "loop.py")))
        terminal.sees("ready\r\n")
        terminal.types("\x1a")
        terminal.sees("Stopped")
        terminal.types("fg\n")
        terminal.sees("continued\r\n")
        terminal.types("\x1a")
        terminal.sees("Stopped")
        terminal.types("bg\n")
        terminal.sees("continued\r\n")
        terminal.types("fg; echo again=$?\n")
        terminal.sees("wrapper.py")
        time.sleep(0.3)
        terminal.types("\x03")

        assert terminal.sees(r"again=(\d+)")[1] == "130"

    def test_suspended_inner_shell_stops_this_process_too(self, wrapper, terminal) -> None:
        terminal.types(_typed(wrapper, "bash", "--norc", "--noprofile", "--noediting", "-i"))
        terminal.types("echo inner=$((1+1)); suspend\n")
        terminal.sees("inner=2")
        terminal.sees("Stopped")
        terminal.types("fg\n")
        terminal.sees("wrapper.py")
        terminal.types("exit 9\n")
        terminal.types("echo again=$?\n")

        assert terminal.sees(r"again=(\d+)")[1] == "9"

    def test_hangup_ends_the_command(self, wrapper, terminal) -> None:
        terminal.types(_typed(wrapper, "sh", "-c", "echo me=$$; exec sleep 30"))
        pid = int(terminal.sees(r"me=(\d+)")[1])
        os.close(terminal._terminal)
        until(lambda: not is_alive(pid), 10)
        terminal._terminal = os.open(os.devnull, os.O_RDONLY)
