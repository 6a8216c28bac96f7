"""`credhelper exec`: a command with a session in its environment, and as if nobody stood in between."""

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
STALE = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_SESSION_TOKEN": "x",
    "AWS_PROFILE": "x",
    "AWS_DEFAULT_PROFILE": "x",
    "AWS_SECURITY_TOKEN": "x",
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


def _environ(sandbox: Sandbox, *arguments: str, **environ: str) -> dict[str, str]:
    """The environment of a command."""
    result = sandbox.run("exec", *arguments, "--", sys.executable, "-c", DUMP, **environ)
    assert result.status == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return {name: value for name, value in found.items() if name != "LC_CTYPE"}  # which Python sets


def _tool(directory: Path, name: str, text: str, mode: int = 0o755) -> str:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


class TestEnvironment:
    """What the command finds."""

    def test_the_session_and_nothing_else(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """The caller's environment without other sources of credentials, and the eight variables."""
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

    def test_an_open_target(self, sandbox: Sandbox) -> None:
        """The profile as it was asked for, the account as its id."""
        given = _environ(sandbox, "audit-root@payments-prod")

        assert given["CREDHELPER_PROFILE"] == "audit-root@payments-prod"
        assert given["CREDHELPER_ACCOUNT"] == "111122223333"

    @pytest.mark.parametrize(
        ("flags", "caller", "expected"),
        [
            ([], {"AWS_REGION": "us-east-1"}, "us-east-1"),
            (["--region", "us-west-2"], {}, "us-west-2"),
            (["--region", "us-west-2"], {"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "us-west-2"),
        ],
    )
    def test_the_region(self, sandbox: Sandbox, flags: list[str], caller: dict[str, str], expected) -> None:
        """The caller's own, be it set or said; what is said on the command line counts most."""
        given = _environ(sandbox, "developer", *flags, **caller)

        assert (given["AWS_REGION"], given["AWS_DEFAULT_REGION"]) == (expected, expected)

    def test_no_value_becomes_anything_else(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """Quotes, dollars and blanks in a secret arrive as they are, and nothing runs."""
        sts.secret_marker = "'\"$(touch pwned)`touch pwned`\\; #"
        given = _environ(sandbox, "developer")

        assert given["AWS_SECRET_ACCESS_KEY"] == sts.issued[0]["SecretAccessKey"]
        assert given["AWS_SESSION_TOKEN"] == sts.issued[0]["SessionToken"]
        assert not list(Path.cwd().glob("pwned"))

    def test_real_clients_are_who_the_session_says(self, sandbox: Sandbox) -> None:
        """boto3, although [default] in the AWS config is somebody else."""
        sandbox.aws_config(AWS_CONFIG.replace("[profile org-admin]", "[default]") + AWS_CONFIG)
        ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        result = sandbox.run("exec", "unlock-bucket", "--", sys.executable, "-c", ask)

        assert result.stdout == b"arn:aws:iam::111122223333:root\n"


class TestCommand:
    """How it starts and ends."""

    def test_its_words_are_its_own(self, sandbox: Sandbox) -> None:
        """What stands behind the first '--', options and other '--' included."""
        words = ["--serve", "--help", "--", "-h", "", "a b", "$HOME", "*"]
        show = "import json, sys; print(json.dumps(sys.argv[1:]))"
        result = sandbox.run("exec", "developer", "--", sys.executable, "-c", show, *words)

        assert json.loads(result.stdout) == words

    @pytest.mark.parametrize("status", [0, 3, 255])
    def test_its_exit_status_is_ours(self, sandbox: Sandbox, status: int) -> None:
        """And its streams are the ones that we were given."""
        process = sandbox.start("exec", "developer", "--", "sh", "-c", f"cat; echo err >&2; exit {status}")

        assert process.communicate(b"in", timeout=60) == (b"in", b"err\n")
        assert process.returncode == status

    def test_it_is_the_same_process(self, sandbox: Sandbox) -> None:
        """Signals, jobs and whoever waits have nobody of ours to reckon with."""
        process = sandbox.start("exec", "developer", "--", "sh", "-c", "echo $$; exec sleep 30")
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        process.communicate()

        assert process.returncode == -signal.SIGTERM

    def test_without_a_command_it_is_the_users_shell(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """$SHELL, with or without dashes."""
        sandbox.environ["SHELL"] = _tool(tmp_path, "shell", '#!/bin/sh\necho "$CREDHELPER_PROFILE $#"\n')

        assert sandbox.run("exec", "developer").stdout == b"developer 0\n"
        assert sandbox.run("exec", "developer", "--").stdout == b"developer 0\n"

    @pytest.mark.parametrize("serve", [[], ["--serve"]], ids=["replaced", "served"])
    def test_what_cannot_be_run_is_said_before_the_mint(
        self, sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path, serve: list[str]
    ) -> None:
        """127 where it is not found, 126 where it is not executable; and STS is not asked."""
        plain = _tool(tmp_path, "plain", "", 0o644)

        assert sandbox.refuses(127, "exec", "developer", *serve, "--", "no-such-program") == (
            "credhelper: error: 'no-such-program' not found\n"
        )
        assert sandbox.refuses(126, "exec", "developer", *serve, "--", plain) == (
            f"credhelper: error: '{plain}' is not executable\n"
        )
        sandbox.refuses(127, "exec", "developer", *serve, SHELL="/no/such/shell")
        assert sts.calls == []

    def test_a_script_whose_interpreter_is_missing(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """Only the system knows: 126, with the likely reason."""
        said = sandbox.refuses(126, "exec", "developer", "--", _tool(tmp_path, "script", "#!/no/such\n"))

        assert "cannot be run: no such file or directory" in said
        assert "interpreter" in said

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["developer", "ls"], "'ls' is not after '--'"),
            (["developer", "ls", "-l"], "no such option '-l'"),
            (["developer", "ls", "--", "-l"], "'ls' is not after '--'"),
        ],
    )
    def test_a_command_in_front_of_the_dashes(
        self, sandbox: Sandbox, words: list[str], sentence: str
    ) -> None:
        """Its options could be taken for ours: exit 2, and how to write it."""
        said = sandbox.refuses(2, "exec", *words)

        assert said.splitlines() == [
            f"credhelper: error: {sentence}",
            "credhelper: hint: put the command and its options after '--': credhelper exec NAME -- CMD",
        ]

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ([], "missing argument 'NAME'"),
            (["--", "ls"], "missing argument 'NAME'"),
            (["developer", "--sreve", "--", "ls"], "no such option"),
            (["developer", "--reason", "--", "ls"], "option '--reason' requires an argument"),
        ],
    )
    def test_other_mistakes(self, sandbox: Sandbox, words: list[str], sentence: str) -> None:
        """Exit 2, with the help to read."""
        assert sentence in sandbox.refuses(2, "exec", *words)


class TestSession:
    """Where it comes from, and what happens where there is none."""

    def test_it_comes_from_the_cache(self, sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
        """Shared with `get` and `env`; --refresh stores a new one, --no-cache leaves the old one alone."""
        first = sandbox.get("developer")["AccessKeyId"]
        assert _environ(sandbox, "developer")["AWS_ACCESS_KEY_ID"] == first
        assert _environ(sandbox, "developer", "--no-cache")["AWS_ACCESS_KEY_ID"] != first
        assert sandbox.get("developer")["AccessKeyId"] == first
        second = _environ(sandbox, "developer", "--refresh")["AWS_ACCESS_KEY_ID"]

        assert sandbox.get("developer")["AccessKeyId"] == second != first
        assert sts.count() == 3

    def test_the_agent_has_it_and_is_left_alone(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """A hit of `get` and a command's session are one."""
        with sandbox.use_agent():
            first = _environ(sandbox, "developer")["AWS_ACCESS_KEY_ID"]

            assert sandbox.get("developer")["AccessKeyId"] == first
            assert sts.count() == 1

    @pytest.mark.parametrize(
        ("status", "name", "mode"),
        [
            (2, "develoepr", faults.NORMAL),
            (2, "audit-root", faults.NORMAL),
            (3, "homeless", faults.NORMAL),
            (4, "developer", faults.refuse("AccessDenied", "no")),
            (5, "deliberate", faults.NORMAL),
        ],
    )
    def test_without_one_the_command_is_not_run(
        self, sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path, status: int, name: str, mode: Any
    ) -> None:
        """The sentences and exit statuses are those of `get`."""
        homeless = (
            "\n[profiles.homeless]\nrole_arn = 'arn:aws:iam::222233334444:role/R'\nsource_profile = 'x'\n"
        )
        sandbox.configure(CONFIRMED + homeless)
        sts.mode = mode
        witness = tmp_path / "witness"
        said = sandbox.refuses(status, "exec", name, "--", "touch", str(witness))

        assert said == sandbox.refuses(status, "get", name)
        assert not witness.exists()

    def test_sts_that_cannot_be_asked(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """Exit 6, and no command."""
        sts.mode = faults.refuse("Throttling", "slow down", 400)

        assert "throttling" in sandbox.refuses(6, "exec", "developer", "--", "echo", "started")

    def test_consent_is_for_the_record(self, sandbox: Sandbox) -> None:
        """--yes and --reason."""
        sandbox.configure(CONFIRMED)
        _environ(sandbox, "deliberate", "--yes", "--reason", "ticket 4711")

        assert sandbox.audit()[0]["reason"] == "ticket 4711"
        assert sandbox.audit()[0]["confirmed_by"].endswith(" by --yes")

    def test_a_secret_is_in_the_commands_environment_alone(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """In no file and no argument, with everything logged."""
        sts.secret_marker = f"MARKER{uuid.uuid4().hex}"
        sandbox.environ["CREDHELPER_LOG"] = "debug"
        process = sandbox.start("exec", "developer", "--", "sleep", "30")
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        found = find_secret([sandbox.home, "/dev/shm"], sts.secret_marker)
        process.kill()
        process.communicate()

        assert found == [f"/proc/{process.pid}/environ"]

    def test_an_interrupt_while_it_is_minted(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """One sentence, and no command."""
        sts.mode = faults.slow(20)
        process = sandbox.start("exec", "developer", "--", "echo", "started")
        until(lambda: sts.calls)
        process.send_signal(signal.SIGINT)

        assert sandbox.finish(process) == Result(1, b"", "credhelper: error: interrupted\n")

    def test_a_person_is_asked_on_the_terminal_and_then_it_is_the_commands(
        self, sandbox: Sandbox, sts: LoopbackSts
    ) -> None:
        """The code is not echoed; what is typed after it is, and the command reads it."""
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


def test_it_works_from_a_shell(sandbox: Sandbox) -> None:
    """As it stands in the help."""
    line = f"{shlex.quote(PROGRAM)} exec developer -- sh -c 'echo $CREDHELPER_ACCOUNT' | cat"
    done = subprocess.run(["sh", "-c", line], env=sandbox.environ, capture_output=True, check=True)

    assert done.stdout == b"222233334444\n"
