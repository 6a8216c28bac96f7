"""`credhelper exec`: a command with a session in its environment, and otherwise as if run directly."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sts_faults as faults
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, Result, until
from secrets_scan import find_secret
from terminal import Terminal

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

DEVICE = "arn:aws:iam::999988887777:mfa/me"
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
STALE = {
    **dict.fromkeys((*KEYS, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"), "x"),
    "AWS_ROLE_ARN": "arn:aws:iam::222233334444:role/Other",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/x",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x",
    "CREDHELPER_PROFILE": "outer",
    "CREDHELPER_ACCOUNT": "999988887777",
}
CONFIRMED = (
    PROFILES + "\n[profiles.deliberate]\nrole_arn = 'arn:aws:iam::222233334444:role/R'\nconfirm = true\n"
)


both = pytest.mark.parametrize("command", ["exec", "env"])
"""They get the session alike."""


def _environ(sandbox: Sandbox, *arguments: str, command: str = "exec", **environ: str) -> dict[str, str]:
    """The environment of a command, or what `env` prints for it."""
    dump = ("--", sys.executable, "-c", DUMP) if command == "exec" else ("--format", "json")
    found: dict[str, str] = json.loads(sandbox.prints(command, *arguments, *dump, **environ))
    return {name: value for name, value in found.items() if name != "LC_CTYPE"}  # which Python sets


def _tool(directory: Path, name: str, text: str, mode: int = 0o755) -> str:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


class TestEnvironment:
    """What the command finds."""

    def test_session_replaces_other_sources_of_credentials(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        given = _environ(sandbox, "unlock-bucket", **STALE)
        (minted,) = sts.issued

        assert given == {
            **sandbox.environ,
            "AWS_ACCESS_KEY_ID": minted["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": minted["SecretAccessKey"],
            "AWS_SESSION_TOKEN": minted["SessionToken"],
            "AWS_CREDENTIAL_EXPIRATION": minted["Expiration"],
            "CREDHELPER_PROFILE": "unlock-bucket",
            "CREDHELPER_ACCOUNT": "111122223333",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }

    @both
    @pytest.mark.parametrize(
        ("flags", "caller", "expected"),
        [
            ([], {}, "eu-west-1"),
            ([], {"AWS_REGION": "us-east-1"}, "us-east-1"),
            ([], {"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
            (["--region", "us-west-2"], {}, "us-west-2"),
            (["--region", "us-west-2"], {"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "us-west-2"),
        ],
    )
    def test_region_of_flags_overrides_the_callers_overrides_the_profiles(
        self, sandbox: Sandbox, command: str, flags: list[str], caller: dict[str, str], expected: str
    ) -> None:
        """The target is in CREDHELPER_PROFILE, and its id in CREDHELPER_ACCOUNT."""
        given = _environ(sandbox, "audit-root@payments-prod", *flags, command=command, **caller)

        assert (given["AWS_REGION"], given["AWS_DEFAULT_REGION"]) == (expected, expected)
        assert given["CREDHELPER_PROFILE"] == "audit-root@payments-prod"
        assert given["CREDHELPER_ACCOUNT"] == "111122223333"

    def test_shell_syntax_in_a_secret_arrives_unchanged(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.secret_marker = "'\"$(touch pwned)`touch pwned`\\; #"
        given = _environ(sandbox, "developer")

        assert given["AWS_SECRET_ACCESS_KEY"] == sts.issued[0]["SecretAccessKey"]
        assert given["AWS_SESSION_TOKEN"] == sts.issued[0]["SessionToken"]
        assert not list(Path.cwd().glob("pwned"))

    def test_boto3_uses_the_session(self, sandbox: Sandbox) -> None:
        """boto3 has other credentials in [default]."""
        sandbox.aws_config(AWS_CONFIG.replace("[profile org-admin]", "[default]") + AWS_CONFIG)
        ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        said = sandbox.prints("exec", "unlock-bucket", "--", sys.executable, "-c", ask)
        assert said == "arn:aws:iam::111122223333:root\n"


class TestCommand:
    """How it starts and ends."""

    def test_words_after_the_first_dashes_are_the_commands(self, sandbox: Sandbox) -> None:
        words = ["--serve", "--help", "--", "-h", "", "a b", "$HOME", "*"]
        show = "import json, sys; print(json.dumps(sys.argv[1:]))"
        said = sandbox.prints("exec", "developer", "--", sys.executable, "-c", show, *words)
        assert json.loads(said) == words

    @pytest.mark.parametrize("status", [0, 3, 255])
    def test_exit_status_and_streams_are_the_commands(self, sandbox: Sandbox, status: int) -> None:
        process = sandbox.start("exec", "developer", "--", "sh", "-c", f"cat; echo err >&2; exit {status}")

        assert process.communicate(b"in", timeout=60) == (b"in", b"err\n")
        assert process.returncode == status

    def test_command_replaces_the_process(self, sandbox: Sandbox) -> None:
        process = sandbox.start("exec", "developer", "--", "sh", "-c", "echo $$; exec sleep 30")
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        process.communicate()

        assert process.returncode == -signal.SIGTERM

    def test_no_command_runs_the_users_shell(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.environ["SHELL"] = _tool(tmp_path, "shell", '#!/bin/sh\necho "$CREDHELPER_PROFILE $#"\n')

        assert [sandbox.prints("exec", "developer", *end) for end in ([], ["--"])] == ["developer 0\n"] * 2

    @pytest.mark.parametrize("serve", [[], ["--serve"]], ids=["replaced", "served"])
    def test_missing_command_is_127_and_not_executable_126_before_the_mint(
        self, sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path, serve: list[str]
    ) -> None:
        plain = _tool(tmp_path, "plain", "", 0o644)

        for status, command, sentence in (
            (127, "no-such-program", "'no-such-program' not found"),
            (126, plain, f"'{plain}' is not executable"),
        ):
            said = sandbox.refuses(status, "exec", "developer", *serve, "--", command)
            assert said == f"credhelper: error: {sentence}\n"
        sandbox.refuses(127, "exec", "developer", *serve, SHELL="/no/such/shell")
        assert sts.calls == []

    def test_script_without_its_interpreter_is_126(self, sandbox: Sandbox, tmp_path: Path) -> None:
        said = sandbox.refuses(126, "exec", "developer", "--", _tool(tmp_path, "script", "#!/no/such\n"))

        assert "cannot be run: no such file or directory" in said
        assert "interpreter" in said

    @pytest.mark.parametrize(
        ("words", "sentence", "hint"),
        [
            ("developer ls", "'ls' is not after '--'", True),
            ("developer ls -l", "no such option '-l'", True),
            ("developer ls -- -l", "'ls' is not after '--'", True),
            ("", "missing argument 'NAME'", False),
            ("-- ls", "missing argument 'NAME'", False),
            ("developer --sreve -- ls", "no such option", False),
            ("developer --reason -- ls", "option '--reason' requires an argument", False),
        ],
    )
    def test_wrong_usage_is_refused_and_dashes_are_suggested(
        self, sandbox: Sandbox, words: str, sentence: str, *, hint: bool
    ) -> None:
        said = sandbox.refuses(2, "exec", *words.split())

        assert said.startswith(f"credhelper: error: {sentence}")
        dashes = "credhelper: hint: put the command and its options after '--': credhelper exec NAME -- CMD\n"
        assert said.endswith(f"error: {sentence}\n{dashes}") is hint


class TestSession:
    """Where it comes from, and what happens where there is none."""

    @both
    def test_session_is_shared_with_get_by_keyring_and_agent(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service, command: str
    ) -> None:
        def key(*flags: str) -> str:
            return _environ(sandbox, "developer", *flags, command=command)["AWS_ACCESS_KEY_ID"]

        first = sandbox.get("developer")["AccessKeyId"]
        assert key() == first
        assert key("--no-cache") != first
        assert sandbox.get("developer")["AccessKeyId"] == first
        assert first != key("--refresh") == sandbox.get("developer")["AccessKeyId"]
        assert sts.count() == 3

        sandbox.environ["CREDHELPER_KEYRING"] = "none"
        with sandbox.use_agent():
            assert key() == sandbox.get("developer")["AccessKeyId"]
        assert sts.count() == 4

    @both
    @pytest.mark.parametrize(
        ("status", "name", "mode"),
        [
            (2, "develoepr", faults.NORMAL),
            (2, "audit-root", faults.NORMAL),
            (2, "audit-root@nobody", faults.NORMAL),
            (3, "homeless", faults.NORMAL),
            (4, "developer", faults.refuse("AccessDenied", "no")),
            (5, "deliberate", faults.NORMAL),
            (6, "developer", faults.refuse("Throttling", "slow down", 400)),
        ],
    )
    def test_no_session_ends_like_get_and_runs_nothing(
        self, sandbox: Sandbox, sts: LoopbackSts, command: str, status: int, name: str, mode: Any
    ) -> None:
        homeless = "role_arn = 'arn:aws:iam::222233334444:role/R'\nsource_profile = 'x'\n"
        sandbox.configure(f"{CONFIRMED}[profiles.homeless]\n{homeless}")
        sts.mode = mode
        witness = sandbox.home / "witness"
        run = ("--", "touch", str(witness)) if command == "exec" else ()
        said = sandbox.refuses(status, command, name, *run)

        assert said == sandbox.refuses(status, "get", name)
        assert not witness.exists()

    @both
    def test_yes_and_reason_are_in_the_audit_log(self, sandbox: Sandbox, command: str) -> None:
        sandbox.configure(CONFIRMED)
        _environ(sandbox, "deliberate", "--yes", "--reason", "ticket 4711", command=command)

        assert sandbox.audit()[0]["reason"] == "ticket 4711"
        assert sandbox.audit()[0]["confirmed_by"].endswith(" by --yes")

    def test_secret_is_in_the_environment_of_the_command_alone(
        self, sandbox: Sandbox, sts: LoopbackSts
    ) -> None:
        sts.secret_marker = f"MARKER{uuid.uuid4().hex}"
        process = sandbox.start("exec", "developer", "--", "sleep", "30", CREDHELPER_LOG="debug")
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        found = find_secret([sandbox.home, "/dev/shm"], sts.secret_marker)
        process.kill()
        process.communicate()

        assert found == [f"/proc/{process.pid}/environ"]

    def test_interrupt_during_the_mint_is_one_sentence(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.mode = faults.slow(20)
        process = sandbox.start("exec", "developer", "--", "echo", "started")
        until(lambda: sts.calls)
        process.send_signal(signal.SIGINT)

        assert sandbox.finish(process) == Result(1, b"", "credhelper: error: interrupted\n")

    def test_mfa_prompt_reads_the_terminal_before_the_command_does(
        self, sandbox: Sandbox, sts: LoopbackSts
    ) -> None:
        sandbox.configure(f'{PROFILES}mfa_serial = "{DEVICE}"\n')
        sts.mfa_codes = {DEVICE: "123456"}
        command = ["sh", "-c", 'read line; echo "read $line by $CREDHELPER_PROFILE"']
        terminal = Terminal(sandbox, [PROGRAM, "exec", "developer", "--", *command])
        terminal.sees("MFA code of ")
        terminal.types("123456\n")
        until(lambda: sts.count("AssumeRole"))
        terminal.types("hello\n")
        status, shown = terminal.leaves()

        assert (status, "123456" in shown) == (0, False)
        assert "hello\r\nread hello by developer\r\n" in shown


def test_output_goes_through_a_pipe(sandbox: Sandbox) -> None:
    line = f"{shlex.quote(PROGRAM)} exec developer -- sh -c 'echo $CREDHELPER_ACCOUNT' | cat"
    done = subprocess.run(["sh", "-c", line], env=sandbox.environ, capture_output=True, check=True)

    assert done.stdout == b"222233334444\n"
