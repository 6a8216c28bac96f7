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
    from typing import Any

MINTED = Credentials(
    "ASIAEXAMPLE", "secret", "token", expiration=1795332600, life=900.0, skew=0.0, minted=Clocks(1795331700.0)
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
    **dict.fromkeys(("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN"), "x"),
    "AWS_WEB_IDENTITY_TOKEN_FILE": "x",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/x",
}
WINNING = [
    "aws_access_key_id", "role_arn", "web_identity_token_file", "sso_session", "sso_start_url",
    "sso_account_id", "sso_role_name", "login_session", "credential_process",
]  # fmt: skip


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
        assert (given["CREDHELPER_PROFILE"], given.get("CREDHELPER_ACCOUNT")) == ("inner", None)

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
        context = Context("p", None, profiles)
        session = environment.with_session(caller, MINTED, context)
        for given in (session, environment.with_server(caller, ENDPOINT, context)):
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
    """A command that has printed that it is ready, in a session of its own."""
    process = _start(wrapper, "attend", *command, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    return process


def _executable(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _finish(process: subprocess.Popen[str], stdin: str | None = None) -> tuple[int, str, str]:
    try:
        stdout, stderr = process.communicate(stdin, timeout=20)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


def _under_a_shell(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the words as bash does that has set something up for them."""
    command = ["bash", "-c", f'{script} exec "$0" "$@"', sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@BOTH
class TestRun:
    @pytest.mark.parametrize("status", [0, 255])
    def test_exit_status_and_output_are_the_commands(self, wrapper, how, status) -> None:
        done = _finish(_start(wrapper, how, "sh", "-c", f"echo out; echo err >&2; exit {status}"))
        assert done == (status, "out\n", "err\n")

    @pytest.mark.parametrize("name", ["no-such-program", "./no-such-program"])
    def test_missing_program_exits_127(self, wrapper, how, name) -> None:
        assert _finish(_start(wrapper, how, name)) == (127, "", f"credhelper: error: '{name}' not found\n")

    @pytest.mark.parametrize(
        ("name", "text", "why"),
        [
            ("plain", "", "is not executable"),
            ("", "", "is not executable"),
            ("script", "#!/no/such\n", "cannot be run: no such file or directory"),
            ("noise", "\x01\x02", "cannot be run: exec format error"),
        ],
    )
    def test_program_that_cannot_run_exits_126(self, wrapper, how, tmp_path, name, text, why) -> None:
        if name:
            _executable(tmp_path / name, text, 0o755 if text else 0o644)
        status, _, stderr = _finish(_start(wrapper, how, f"{tmp_path}/{name}"))

        assert (status, stderr.splitlines()[0]) == (126, f"credhelper: error: '{tmp_path}/{name}' {why}")

    def test_program_is_searched_in_the_commands_path(self, wrapper, how, tmp_path) -> None:
        environ = {name: value for name, value in os.environ.items() if name != "PATH"}
        for name in ("tool", "true"):
            (tmp_path / name).write_text("")  # not executable
        both = f"{tmp_path}:/usr/bin"
        for name, path, status in (
            *(("tool", {"PATH": both}, 126), ("true", {"PATH": both}, 0)),
            *(("true", {}, 0), ("true", {"PATH": "/nowhere"}, 127)),
        ):
            assert _finish(_start(wrapper, how, name, env={**environ, **path}))[0] == status

    def test_without_a_command_the_users_shell_runs(self, wrapper, how, tmp_path) -> None:
        environ = {**os.environ, "SHELL": _executable(tmp_path / "myshell", "#!/bin/sh\necho mine $#\n")}
        assert _finish(_start(wrapper, how, env=environ)) == (0, "mine 0\n", "")
        sh = _start(wrapper, how, env={**environ, "SHELL": ""}, stdin=subprocess.PIPE)
        assert _finish(sh, "echo $0; exit 3") == (3, "/bin/sh\n", "")

    def test_sigpipe_is_not_ignored_in_the_command(self, wrapper, how) -> None:
        status, shown, _ = _finish(_start(wrapper, how, "sh", "-c", "kill -PIPE $$; echo ignored"))
        assert (status, shown) == (141 if how == "attend" else -signal.SIGPIPE, "")

    @pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
    def test_signal_ignored_by_the_caller_stays_ignored(self, wrapper, how, name) -> None:
        ask = f"import signal; print(signal.getsignal(signal.SIG{name}) == signal.SIG_IGN)"
        done = _under_a_shell(f'trap "" {name};', wrapper, how, sys.executable, "-c", ask)
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
    def state() -> tuple[list[Any], int]:
        return [*map(signal.getsignal, signal.valid_signals())], len(os.listdir("/proc/self/fd"))

    before, environ = state(), dict(os.environ)
    assert run_command.run(["sh", "-c", "kill -TERM $PPID; sleep 0.1; exit 5"], environ) in (5, 143)
    with pytest.raises(run_command.NotFoundError):
        run_command.run(["no-such-program"], environ)
    noise = _executable(tmp_path / "noise", "\x01")
    for replace in (False, True):
        with pytest.raises(run_command.NotExecutableError):
            run_command.run([noise], environ, replace=replace)
    assert state() == before
    assert signal.set_wakeup_fd(-1) == -1


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

    @pytest.mark.parametrize("script", ["(sleep 0.1) &", 'trap "" CHLD;'])
    def test_foreign_child_or_ignored_sigchld_keeps_the_exit_status(self, wrapper, script) -> None:
        assert _under_a_shell(script, wrapper, "attend", "sh", "-c", "sleep 0.3; exit 6").returncode == 6


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
    @pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT")])
    def test_interrupt_key_reaches_the_command_once(self, wrapper, terminal, tmp_path, key, name) -> None:
        (tmp_path / "count.py").write_text(COUNT)
        terminal.types(_typed(wrapper, sys.executable, "count.py", "10", name))
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
        terminal.types(_typed(wrapper, sys.executable, "loop.py"))
        terminal.sees("ready\r\n")
        for resume in ("fg\n", "bg\n"):
            terminal.types("\x1a")
            terminal.sees("Stopped")
            terminal.types(resume)
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
        terminal.types("exit 9\necho again=$?\n")
        assert terminal.sees(r"again=(\d+)")[1] == "9"

    def test_hangup_ends_the_command(self, wrapper, terminal) -> None:
        terminal.types(_typed(wrapper, "sh", "-c", "echo me=$$; exec sleep 30"))
        pid = int(terminal.sees(r"me=(\d+)")[1])
        os.close(terminal._terminal)
        until(lambda: not is_alive(pid), 10)
        terminal._terminal = os.open(os.devnull, os.O_RDONLY)
