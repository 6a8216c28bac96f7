"""Real clients through ~/.aws/config and credential_process: boto3, AWS CLI v1 and v2."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import requirements
import sts_faults as faults
from clients import AWS_CLI_V1, AWS_CLI_V2, BOTO3
from sandbox import AWS_CONFIG, PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts


@pytest.fixture(name="aws")
def _aws(sandbox: Sandbox) -> Sandbox:
    """The laptop with a line for the SDKs per profile."""
    lines = "".join(
        f"\n[profile {name}]\ncredential_process = {PROGRAM} get {name}\nregion = eu-west-1\n"
        for name in ("developer", "unlock-bucket", "audit-root@payments-prod")
    )
    sandbox.aws_config(AWS_CONFIG + lines)
    return sandbox


def _run(sandbox: Sandbox, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=sandbox.environ, capture_output=True, text=True, timeout=90, check=False
    )


def _boto3(sandbox: Sandbox, profile: str) -> subprocess.CompletedProcess[str]:
    return _run(sandbox, sys.executable, "-c", BOTO3, profile, "1")


def test_three_boto3_processes_make_one_sts_call(aws: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """And another, after everything of ours has exited, still none."""
    for _ in range(4):
        done = _boto3(aws, "unlock-bucket")

        assert done.stdout == "arn:aws:iam::111122223333:root\n", done.stderr

    assert sts.count() == 1


def test_boto3_processes_at_once_make_one_sts_call(aws: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """Three programs started together share one session."""
    command = [sys.executable, "-c", BOTO3, "developer", "2"]
    programs = [
        subprocess.Popen(command, env=aws.environ, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]

    assert len({program.communicate(timeout=90)[0] for program in programs}) == 1
    assert sts.count() == 1


def test_a_target_may_stand_in_the_aws_config(aws: Sandbox, secret_service) -> None:
    """PROFILE@ALIAS is one word for every SDK."""
    assert _boto3(aws, "audit-root@payments-prod").stdout == "arn:aws:iam::111122223333:root\n"


def test_boto3_shows_our_sentence(aws: Sandbox, sts: LoopbackSts) -> None:
    """What went wrong, and what to do, is the text of the exception."""
    sts.mode = faults.refuse(
        "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRoot"
    )
    said = _boto3(aws, "unlock-bucket").stderr

    assert "credhelper: error: not allowed: sts:AssumeRoot on 'arn:aws:iam::111122223333:root'" in said
    assert "credhelper: hint: the caller (arn:aws:iam::1:user/x) needs sts:AssumeRoot" in said


def _cli(path: Path) -> str:
    """The program, or the test ends here: in CI as a failure."""
    return requirements.program(str(path))


@pytest.mark.parametrize("path", [AWS_CLI_V1, AWS_CLI_V2], ids=["v1", "v2"])
def test_the_aws_cli_uses_our_sessions(aws: Sandbox, sts: LoopbackSts, secret_service, path: Path) -> None:
    """Both versions, twice: one STS call for a session, and the identity that it stands for."""
    command = [_cli(path), "sts", "get-caller-identity", "--profile", "developer", "--endpoint-url", sts.url]
    for _ in range(2):
        done = _run(aws, *command)

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["Arn"].startswith("arn:aws:sts::222233334444:assumed-role/Developer/")

    assert sts.count() == 1


@pytest.mark.parametrize("path", [AWS_CLI_V1, AWS_CLI_V2], ids=["v1", "v2"])
def test_the_aws_cli_shows_our_sentence(aws: Sandbox, sts: LoopbackSts, path: Path) -> None:
    """Its error is ours."""
    sts.mode = faults.refuse("AccessDenied", "no")
    command = [_cli(path), "sts", "get-caller-identity", "--profile", "developer", "--endpoint-url", sts.url]
    done = _run(aws, *command)

    assert done.returncode != 0
    assert "credhelper: error: not allowed: sts:AssumeRole" in done.stderr
