"""`credhelper env`: its output is read back by the shells themselves, and is not shown on a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import dotenv
import pytest

from credhelper.run import shell_formats

import requirements

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts

HOSTILE = "'\"$(touch pwned)`touch pwned`\\; touch pwned #\u2019; %PATH% !x ={a,b}*~"
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"


def _meant(sts: LoopbackSts) -> dict[str, str]:
    """What is to arrive for `developer`."""
    minted = sts.issued[-1]
    return {
        "AWS_ACCESS_KEY_ID": minted["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": minted["SecretAccessKey"],
        "AWS_SESSION_TOKEN": minted["SessionToken"],
        "AWS_CREDENTIAL_EXPIRATION": minted["Expiration"],
        "CREDHELPER_PROFILE": "developer",
        "CREDHELPER_ACCOUNT": "222233334444",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def _printed(sandbox: Sandbox, *arguments: str, **environ: str) -> str:
    return sandbox.prints("env", *arguments, **environ)


def _has_session(sandbox: Sandbox, sts: LoopbackSts, shell: str, script: str) -> bool:
    """Whether a program that a shell starts after this script has the session in its environment."""
    program, *options = shell.split()
    done = subprocess.run(
        [requirements.program(program), *options, "-c", f"{script}; exec {sys.executable} -c '{DUMP}'"],
        env=sandbox.environ,
        cwd=sandbox.home,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    assert not list(sandbox.home.glob("pwned"))
    return json.loads(done.stdout).items() >= _meant(sts).items()


class TestFormats:
    """Each of them, read by what it is for."""

    @pytest.mark.parametrize(
        ("shell", "script"),
        [
            ("dash", 'eval "$(credhelper env developer)"'),
            ("bash", ". <(credhelper env developer --format sh)"),
            ("fish --no-config", "credhelper env developer --format fish | source"),
        ],
    )
    def test_shell_evaluates_the_example_of_the_help(
        self, sandbox: Sandbox, sts: LoopbackSts, shell: str, script: str
    ) -> None:
        sts.secret_marker = HOSTILE

        assert _has_session(sandbox, sts, shell, script)

    @pytest.mark.parametrize(
        ("form", "shells"),
        [
            ("sh", ["bash", "zsh -f", "ksh", "mksh", "busybox sh"]),
            ("fish", ["fish --no-config"]),
            ("dotenv", ["dash"]),
        ],
    )
    def test_sourced_file_has_the_session_in_every_shell(
        self, sandbox: Sandbox, sts: LoopbackSts, form: str, shells: list[str]
    ) -> None:
        sts.secret_marker = HOSTILE if form != "dotenv" else "`touch pwned`; touch pwned"
        (sandbox.home / "text").write_text(_printed(sandbox, "developer", "--format", form))
        script = "set -a; . ./text" if form == "dotenv" else ". ./text"

        for shell in shells:
            assert _has_session(sandbox, sts, shell, script), shell

    def test_boto3_uses_the_session_of_the_shell(self, sandbox: Sandbox) -> None:
        ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        script = f'eval "$(credhelper env unlock-bucket)"; {sys.executable} -c "{ask}"'
        done = subprocess.run(["sh", "-c", script], env=sandbox.environ, capture_output=True, check=True)

        assert done.stdout == b"arn:aws:iam::111122223333:root\n"

    def test_dotenv_docker_and_json_are_read_back(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        text = _printed(sandbox, "developer", "--format", "dotenv")
        assert dotenv.dotenv_values(stream=io.StringIO(text)) == _meant(sts)

        sts.secret_marker = HOSTILE
        lines = _printed(sandbox, "developer", "--format", "docker").splitlines()
        assert dict(line.split("=", 1) for line in lines) == _meant(sts)
        assert json.loads(_printed(sandbox, "developer", "--format", "json")) == _meant(sts)

    @pytest.mark.parametrize(("form", "line"), [("powershell", "$env:{} = '{}'"), ("cmd", 'set "{}={}"')])
    def test_powershell_and_cmd_quote_each_line(
        self, sandbox: Sandbox, sts: LoopbackSts, form: str, line: str
    ) -> None:
        lines = _printed(sandbox, "developer", "--format", form).splitlines()

        assert lines == [line.format(*each) for each in _meant(sts).items()]

    @pytest.mark.parametrize("form", ["cmd", "dotenv"])
    def test_value_that_a_format_cannot_express_is_refused_without_it(
        self, sandbox: Sandbox, sts: LoopbackSts, form: str
    ) -> None:
        sts.secret_marker = "%'secret"
        said = sandbox.refuses(2, "env", "developer", "--format", form)

        assert "the value of 'AWS_SECRET_ACCESS_KEY' has one of" in said
        assert "hint: --format json carries every value" in said
        assert "secret" not in said

    def test_unknown_format_is_refused_before_the_mint_and_the_default_is_sh(
        self, sandbox: Sandbox, sts: LoopbackSts
    ) -> None:
        said = sandbox.refuses(2, "env", "developer", "--format", "csh")
        assert "'sh', 'fish', 'powershell', 'cmd', 'dotenv', 'docker', 'json'" in said
        assert sts.calls == []
        assert "|".join(shell_formats.FORMS) in sandbox.prints("env", "--help")
        assert _printed(sandbox, "developer", SHELL="/usr/bin/fish").startswith("export AWS_ACCESS_KEY_ID=")

    @pytest.mark.parametrize("region", ["eu-west-1'; touch pwned; '", "eu-west-1\x1b[31m"])
    def test_shell_syntax_in_the_callers_region_is_quoted_or_refused(
        self, sandbox: Sandbox, tmp_path: Path, region: str
    ) -> None:
        result = sandbox.run("env", "developer", "--sts-region", "eu-west-1", AWS_REGION=region)
        if result.status == 0:
            script = 'eval "$1"; printf %s "$AWS_REGION"'
            words = ["sh", "-c", script, "sh", result.stdout.decode()]
            assert subprocess.check_output(words, cwd=tmp_path).decode() == region
        else:
            assert "the value of 'AWS_REGION' has a control character" in result.stderr

        assert (result.status == 0) is region.isprintable()
        assert not list(tmp_path.glob("pwned"))


class TestSecrecy:
    """Where the secrets are printed, and where not."""

    def test_terminal_needs_show(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        status, shown = sandbox.on_a_terminal("env", "developer")
        assert status == 2
        assert 'eval "$(credhelper env developer)"' in shown
        assert sts.calls == []

        status, shown = sandbox.on_a_terminal("env", "developer", "--show")
        assert status == 0
        assert f"export AWS_SESSION_TOKEN='{sts.issued[0]['SessionToken']}'" in shown
