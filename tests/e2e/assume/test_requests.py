"""What `assume-role` and `assume-root` send STS is what the AWS CLI sends, given the same command line."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import requirements
from sandbox import AWS_CONFIG, PROGRAM, Sandbox
from sts import LoopbackSts

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = ["--role-arn", "arn:aws:iam::222233334444:role/a/path/Developer", "--role-session-name", "me@desk"]
POLICY = '{"Version": "2012-10-17",\n "Statement": []}'
READ, WRITE = "arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::222233334444:policy/team/write"
DEVICE = "arn:aws:iam::999988887777:mfa/me"
REQUEST = json.dumps(
    {
        "RoleArn": "arn:aws:iam::222233334444:role/FromJson",
        "RoleSessionName": "json",
        "DurationSeconds": 1200,
        "PolicyArns": [{"arn": READ}],
        "Tags": [{"Key": "Team", "Value": "Payments"}],
        "TransitiveTagKeys": ["Team"],
        "ExternalId": "third-party",
        "SourceIdentity": "alice",
    }
)
YAML = """\
RoleArn: arn:aws:iam::222233334444:role/FromYaml
RoleSessionName: yaml
DurationSeconds: 1800
Tags:
- {Key: Team, Value: 'Payments'}
"""
TASK = "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"

ROLES: list[list[str]] = [
    ROLE,
    [*ROLE, "--duration-seconds", "900"],
    [*ROLE, "--duration-seconds=43200"],
    [*ROLE, "--policy", POLICY],
    [*ROLE, "--policy", "file://policy.json"],
    [*ROLE, "--policy", "file://$HOME/policy.json"],
    [*ROLE, "--policy-arns", f"arn={READ}"],
    [*ROLE, "--policy-arns", f"arn={READ}", f"arn = {WRITE}"],
    [*ROLE, "--policy-arns", json.dumps([{"arn": READ}, {"arn": WRITE}])],
    [*ROLE, "--policy-arns", json.dumps({"arn": READ}), json.dumps({"arn": WRITE})],
    [*ROLE, "--tags", "Key=Team,Value=Payments"],
    [*ROLE, "--tags", "Key=Team,Value=Payments", "Key=Stage,Value=prod", "--external-id", "third-party"],
    [*ROLE, "--tags", '[{"Key": "Team", "Value": "Payments"}, {"Key": "Stage", "Value": ""}]'],
    [*ROLE, "--tags", "file://tags.json"],
    [*ROLE, "--tags", "Key=Team,Value="],
    [*ROLE, "--tags", "Value=first,Key=Order"],
    [*ROLE, "--tags", "Key = Team , Value = two words "],
    [*ROLE, "--tags", "Key=Team,Value='a, b'"],
    [*ROLE, "--tags", 'Key="Te\\"am",Value=a=b'],
    [*ROLE, "--tags", "Key=Team,Value=a\\,b"],
    [*ROLE, "--tags", "Key=Équipe,Value=Zahlungen für alle"],
    [*ROLE, "--tags", "Key=Team,Value=a:b/c.d+e-f@g_h[i"],
    [*ROLE, "--tags", "Key=A,Value=1", "Key=B,Value=2", "--transitive-tag-keys", "A", "B"],
    [*ROLE, "--tags", "Key=A,Value=1", "--transitive-tag-keys", '["A"]'],
    [*ROLE, "--external-id", "a+b=c,d.e@f:g/h-i"],
    [*ROLE, "--serial-number", DEVICE, "--token-code", "123456"],
    [*ROLE, "--serial-number", "GAHT12345678", "--token-code", "012345"],
    [*ROLE, "--source-identity", "alice=,.@-"],
    ["--cli-input-json", REQUEST],
    ["--cli-input-json", "file://request.json"],
    [*ROLE, "--cli-input-json", "file://request.json", "--tags", "Key=Over,Value=ridden"],
    ["--cli-input-yaml", YAML],
    ["--cli-input-yaml", "file://request.yaml", "--duration-seconds", "3600"],
    [*ROLE, "--region", "ap-southeast-2"],
    [*ROLE, "--profile", "other"],
    ["--role-arn", "arn:aws-cn:iam::222233334444:role/Developer", "--role-session-name", "me",
     "--region", "cn-north-1"],
    [*ROLE, "--query", "AssumedRoleUser.Arn", "--output", "text", "--color", "off"],
    [*ROLE, "--no-paginate", "--no-cli-pager", "--no-cli-auto-prompt", "--cli-binary-format", "base64"],
    [*ROLE, "--cli-read-timeout", "0", "--cli-connect-timeout", "60", "--no-verify-ssl"],
]  # fmt: skip
"""Command lines for AWS CLI v2. Debian's knows no provided contexts and no AssumeRoot: v1 does."""

CONTEXT = "ProviderArn=arn:aws:iam::aws:contextProvider/IdentityCenter,ContextAssertion=assertion"
CONTEXTS = [{"ProviderArn": "arn:aws:iam::aws:contextProvider/IdentityCenter", "ContextAssertion": "abcd"}]
UNLOCK = {"TargetPrincipal": "111122223333", "TaskPolicyArn": {"arn": TASK}, "DurationSeconds": 59}
VERSION_1: list[list[str]] = [
    ["assume-role", *ROLE, "--provided-contexts", CONTEXT],
    ["assume-role", *ROLE, "--provided-contexts", json.dumps(CONTEXTS)],
    ["assume-root", "--target-principal", "111122223333", "--task-policy-arn", f"arn={TASK}"],
    ["assume-root", "--target-principal", "111122223333", "--task-policy-arn", f'{{"arn": "{TASK}"}}'],
    ["assume-root", "--target-principal", "arn:aws:iam::111122223333:root", "--task-policy-arn",
     f"arn={TASK}", "--duration-seconds", "900"],
    ["assume-root", "--target-principal", "012345678901", "--task-policy-arn", f"arn={TASK}",
     "--duration-seconds", "0"],
    ["assume-root", "--target-principal", "111122223333", "--task-policy-arn", "file://task.json",
     "--region", "us-west-2", "--profile", "other"],
    ["assume-root", "--cli-input-json", json.dumps(UNLOCK)],
]  # fmt: skip

OTHER_KEY, OTHER_SECRET = "AKIAOTHEREXAMPLE0000", "otherEXAMPLEsecretotherEXAMPLEsecretothe"
OTHER = f"""
[profile other]
aws_access_key_id = {OTHER_KEY}
aws_secret_access_key = {OTHER_SECRET}
"""

DRIVER = """\
import contextlib, json, os, sys
from awscli.clidriver import create_clidriver
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for line in sys.stdin:
    status = create_clidriver().main(json.loads(line))
    answers.write(f"{status}\\n")
    answers.flush()
"""
"""The AWS CLI as its own program starts it, many times in one process: a start costs a second."""

V1 = Path(__file__).parents[3] / ".venv-awscli/bin/python"


@pytest.fixture(name="machine")
def _machine(tmp_path) -> Sandbox:
    """AWS files with two profiles and the files that the command lines name, without config.toml."""
    machine = Sandbox(tmp_path / "home")
    machine.aws_config(AWS_CONFIG + OTHER)
    machine.environ |= {"AWS_PROFILE": "org-admin", "AWS_DEFAULT_REGION": "eu-west-1"}
    files = {"policy.json": POLICY, "tags.json": json.dumps([{"Key": "From", "Value": "file"}])}
    files |= {"request.json": REQUEST, "request.yaml": YAML, "task.json": json.dumps({"arn": TASK})}
    for name, content in files.items():
        (machine.home / name).write_text(content, encoding="utf-8")
    return machine


def _sent(server: LoopbackSts, before: int) -> list[tuple[Any, ...]]:
    """What reached STS since then: operation, parameters, whose signature, region."""
    return [(call.action, call.parameters, call.access_key_id, call.region) for call in server.calls[before:]]


def _by_the_aws_cli(machine: Sandbox, python: str, lines: list[list[str]]) -> Iterator[Any]:
    """What the AWS CLI sends for each line."""
    environ = {**machine.environ, "PYTHONWARNINGS": "ignore"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [python, "-c", DRIVER]
    with (
        LoopbackSts(keys=_keys()) as server,
        subprocess.Popen(command, env=environ, cwd=machine.home, text=True, **pipes) as driver,
    ):
        for line in lines:
            before = len(server.calls)
            driver.stdin.write(json.dumps(["sts", *line, "--endpoint-url", server.url]) + "\n")
            driver.stdin.flush()
            driver.stdout.readline()
            yield _sent(server, before)


def _by_credhelper(machine: Sandbox, lines: list[list[str]]) -> Iterator[Any]:
    """What credhelper sends for each line."""
    options = {"env": machine.environ, "cwd": machine.home, "capture_output": True}
    with LoopbackSts(keys=_keys()) as server:
        for line in lines:
            before = len(server.calls)
            subprocess.run([PROGRAM, *line, "--endpoint-url", server.url], check=False, **options)
            yield _sent(server, before)


def _keys() -> dict[str, str]:
    return {**LoopbackSts().keys, OTHER_KEY: OTHER_SECRET}


def _compare(machine: Sandbox, python: str, lines: list[list[str]]) -> None:
    """Both send one request a line, and the same one."""
    with ThreadPoolExecutor() as pool:  # two cores: one for each program
        theirs = pool.submit(lambda: list(_by_the_aws_cli(machine, python, lines)))
        ours = pool.submit(lambda: list(_by_credhelper(machine, lines)))
    different = [
        (line, sent, expected)
        for line, sent, expected in zip(lines, ours.result(), theirs.result(), strict=True)
        if sent != expected or len(sent) != 1
    ]

    assert different == []


def test_requests_equal_those_of_aws_cli_v2(machine) -> None:
    requirements.program("/usr/bin/aws")
    assert len(ROLES) > 30
    _compare(machine, "/usr/bin/python3", [["assume-role", *line] for line in ROLES])


def test_requests_equal_those_of_aws_cli_v1(machine) -> None:
    requirements.program(str(V1))
    _compare(machine, str(V1), VERSION_1)
