"""docs/api.md: every option of the AWS CLI, PowerShell and boto3 has its row, and every row is true."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from credhelper.assume import options as assume_options
from credhelper.cli import assume_output, main
from credhelper.cli.assume_options import api_options
from credhelper.config.keys import BY_NAME, ROLE, ROOT

from sandbox import AWS_CONFIG
from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text(encoding="utf-8")
NEEDED = {
    "assume-root": {"--target-principal": "111122223333", "--task-policy-arn": "S3UnlockBucketPolicy"},
    "assume-role": {"--role-arn": "arn:aws:iam::222233334444:role/Developer"},
}
CLOSED = ("--no-sign-request",)
"""Declined options that the program knows, and refuses with a reason of its own."""


def _rows() -> Iterator[tuple[list[str], str, str]]:
    """The names in a row of a table, what it says is the same here, and the rest."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            yield re.findall(r"`([^`]+)`", cells[0]), cells[2].rstrip(" |"), " ".join(cells[3:]).rstrip(" |")


ROWS = list(_rows())
TAKEN = sorted({here.strip("`") for _, here, _ in ROWS if here.startswith("`")})


REFERENCES = {
    "assume-root": "--target-principal --task-policy-arn --duration-seconds",
    "assume-role": "--role-arn --role-session-name --policy --duration-seconds --external-id",
    "v1": "--cli-input-json --generate-cli-skeleton --debug --endpoint-url --no-verify-ssl --no-paginate "
    "--output --query --profile --region --version --color --no-sign-request --ca-bundle "
    "--cli-read-timeout --cli-connect-timeout",
    "v2": "--cli-input-json --cli-input-yaml --generate-cli-skeleton --debug --endpoint-url --no-verify-ssl "
    "--no-paginate --output --query --profile --region --version --color --no-sign-request --ca-bundle "
    "--cli-read-timeout --cli-connect-timeout --cli-binary-format --no-cli-pager --cli-auto-prompt "
    "--no-cli-auto-prompt",
    "PowerShell": "-TargetPrincipal -TaskPolicyArn_Arn -DurationInSeconds -DurationSeconds -Select -PassThru "
    "-Force -ClientConfig -AccessKey -AK -Credential -EndpointUrl -NetworkCredential -ProfileLocation "
    "-AWSProfilesLocation -ProfilesLocation -ProfileName -StoredCredentials -AWSProfileName -Region "
    "-RegionToCall -SecretKey -SK -SecretAccessKey -SessionToken -ST",
    "boto3": "TargetPrincipal TaskPolicyArn DurationSeconds",
    "all": "Credentials AccessKeyId SecretAccessKey SessionToken Expiration SourceIdentity",
}
"""What AWS's own references list, by the second column of the page; `all` is the response."""


@pytest.fixture(name="machine")
def _machine(in_process, sts, monkeypatch, tmp_path) -> Sandbox:
    """The sandbox as this process's environment, with the variables that the lines use."""
    elsewhere, bundle = tmp_path / "elsewhere", tmp_path / "bundle.pem"
    elsewhere.write_text(AWS_CONFIG.replace("profile org-admin", "elsewhere"), encoding="utf-8")
    bundle.write_text("", encoding="utf-8")
    sts.source_identity = "Alice"
    given = {"STS": sts.url, "KEY": SOURCE_KEY_ID, "SECRET": SOURCE_SECRET}
    for name, value in {**given, "ELSEWHERE": str(elsewhere), "BUNDLE": str(bundle)}.items():
        monkeypatch.setenv(name, value)
    return in_process


@pytest.mark.parametrize("line", TAKEN)
def test_documented_line_runs(machine, monkeypatch, capfd, line) -> None:
    words = [os.path.expandvars(word) for word in shlex.split(line)]
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    verb, *options = words
    needed = NEEDED[verb].items()
    more = [word for name, value in needed if name not in options for word in (name, value)]
    status = main.main([verb, *options, *more])
    stdout, stderr = capfd.readouterr()

    assert (status, stderr) == (0, "")
    assert stdout


@pytest.mark.parametrize(("names", "why"), [(names, why) for names, here, why in ROWS if here == "declined"])
def test_declined_option_is_refused_before_any_call(machine, sts, capfd, names, why) -> None:
    for name in names:
        needed = [word for pair in NEEDED["assume-root"].items() for word in pair]

        assert main.main(["assume-root", *needed, name]) == 2
        stderr = capfd.readouterr().err
        assert ("unsigned" if name in CLOSED else "no such option") in stderr
    assert len(why) > 20
    assert sts.calls == []


def test_row_shows_its_own_option() -> None:
    for names, here, _ in ROWS:
        for name in names:
            if name.startswith("--") and here != "declined":
                assert name in here, name


@pytest.mark.parametrize("of", REFERENCES)
def test_option_in_the_reference_has_a_row(of) -> None:
    rows = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    listed = {name for names, there, *_ in rows if of in there for name in re.findall(r"`([^`]+)`", names)}

    assert set(REFERENCES[of].split()) - listed == set()


def test_option_parameter_and_response_member_of_the_program_has_a_row() -> None:
    listed = {name for names, _, _ in ROWS for name in names}
    ours = {"--credential-stdin", "--refresh", "--no-cache", "--show", "--reason", "--yes", "--help"}
    later = {BY_NAME["minimum_session_token_size"].option}  # of the API, and not in those references yet
    for kind in (ROOT, ROLE):
        command = api_options(kind)(click.command()(lambda: None))
        options = {name for param in command.params for name in param.opts}

        assert options - ours - later <= listed
    parameters = {"TargetPrincipal", "TaskPolicyArn", "DurationSeconds"}
    assert parameters <= listed & set(assume_options.skeleton(ROOT))
    assert set(assume_output.SAMPLES[ROOT]["Credentials"]) | {"Credentials", "SourceIdentity"} <= listed
