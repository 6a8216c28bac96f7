"""Real clients through ~/.aws/config and credential_process: boto3, AWS CLI v1 and v2."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import requirements
import sts_faults as faults
from clients import AWS_CLI_V1, AWS_CLI_V2, BOTO3
from sandbox import AWS_CONFIG, PROGRAM


@pytest.fixture(name="aws")
def _aws(sandbox):
    """The sandbox with an AWS profile for each credhelper profile."""
    lines = "".join(
        f"\n[profile {name}]\ncredential_process = {PROGRAM} get {name}\nregion = eu-west-1\n"
        for name in ("developer", "unlock-bucket", "audit-root@payments-prod")
    )
    sandbox.aws_config(AWS_CONFIG + lines)
    return sandbox


def _run(sandbox, *command):
    return subprocess.run(
        command, env=sandbox.environ, capture_output=True, text=True, timeout=90, check=False
    )


def _boto3(sandbox, profile):
    return _run(sandbox, sys.executable, "-c", BOTO3, profile, "1")


def test_sequential_boto3_processes_make_one_sts_call(aws, sts, secret_service):
    for _ in range(4):
        done = _boto3(aws, "unlock-bucket")
        assert done.stdout == "arn:aws:iam::111122223333:root\n", done.stderr
    assert sts.count() == 1


def test_simultaneous_boto3_processes_share_one_session(aws, sts, secret_service):
    command = [sys.executable, "-c", BOTO3, "developer", "2"]
    how = {"env": aws.environ, "stdout": subprocess.PIPE, "text": True}
    programs = [subprocess.Popen(command, **how) for _ in range(3)]
    assert len({program.communicate(timeout=90)[0] for program in programs}) == 1
    assert sts.count() == 1


def test_a_target_in_the_aws_config_is_used(aws, secret_service):
    assert _boto3(aws, "audit-root@payments-prod").stdout == "arn:aws:iam::111122223333:root\n"


def test_boto3_shows_the_error_and_the_hint(aws, sts):
    sts.mode = faults.refuse(
        "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRoot"
    )
    said = _boto3(aws, "unlock-bucket").stderr
    assert "credhelper: error: not allowed: sts:AssumeRoot on 'arn:aws:iam::111122223333:root'" in said
    assert "credhelper: hint: the caller (arn:aws:iam::1:user/x) needs sts:AssumeRoot" in said


@pytest.mark.parametrize("path", [AWS_CLI_V1, AWS_CLI_V2], ids=["v1", "v2"])
def test_aws_cli_uses_one_session_and_shows_the_error(aws, sts, secret_service, path):
    program = requirements.program(str(path))
    command = [program, "sts", "get-caller-identity", "--endpoint-url", sts.url, "--profile"]
    for _ in range(2):
        done = _run(aws, *command, "developer")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["Arn"].startswith("arn:aws:sts::222233334444:assumed-role/Developer/")
    assert sts.count() == 1
    sts.mode = faults.refuse("AccessDenied", "no")
    done = _run(aws, *command, "unlock-bucket")
    assert done.returncode != 0
    assert "credhelper: error: not allowed: sts:AssumeRoot" in done.stderr
