"""Settings that win over credhelper; those of botocore are tried with botocore."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import BotoCoreError

from credhelper.awsconfig import conflicts
from credhelper.awsconfig.ini import IniFile

from blocks import ENVELOPE, resolved, script

PROCESS = "[profile p]\ncredential_process = {}\n"


def conflicts_of(config, credentials="", **environ):
    """The sentences about profile p of two files."""
    files = (IniFile("~/.aws/config", config.encode()), IniFile("~/.aws/credentials", credentials.encode()))
    found = conflicts.find_conflicts(*files, {"p"}, environ)
    assert all(each.hint for each in found)
    assert all(f"'{each.path}' line {each.line}:" in each.sentence for each in found if each.path)
    return [each.sentence for each in found]


@pytest.fixture
def process(tmp_path):
    """A profile p that runs a program."""
    return PROCESS.format(script(tmp_path / "process", f"echo '{json.dumps(ENVELOPE)}'"))


@pytest.fixture
def wins(config):
    """What botocore takes, of two files and an environment; an error where it takes nothing."""

    def wins(text, credentials="", *, named=True):
        config.write_text(text)
        config.with_name("credentials").write_text(credentials)
        try:
            return resolved(config, "p", named=named)
        except BotoCoreError as error:
            return type(error).__name__

    return wins


def test_plain_profile_has_no_conflict(process, wins):
    text = f"{process}region = eu-west-1\noutput = json\n# role_arn = x\n[profile q]\nrole_arn = x\n[r]\n"
    assert wins(text, "[q]\naws_access_key_id = x\n") == ("custom-process", "AKIAPROCESS")
    assert conflicts_of(text, "[q]\naws_access_key_id = x\n") == []


def test_static_keys_win_from_the_credentials_file_and_in_most_sdks_from_the_config(process, wins):
    keys = "aws_access_key_id = AKIASTATIC\naws_secret_access_key = x\n"
    wins_over = "'aws_access_key_id' of profile 'p' wins over credhelper in"
    assert wins(process, f"[p]\n{keys}") == ("shared-credentials-file", "AKIASTATIC")
    assert conflicts_of(process, f"[p]\n{keys}") == [f"'~/.aws/credentials' line 2: {wins_over} every SDK"]
    assert wins(process + keys) == ("custom-process", "AKIAPROCESS")
    most = "most SDKs, not in boto3 and the AWS CLI"
    assert conflicts_of(process + keys) == [f"'~/.aws/config' line 3: {wins_over} {most}"]


def test_command_of_the_credentials_file_wins(tmp_path, process, wins):
    other = script(tmp_path / "other", f"echo '{json.dumps({**ENVELOPE, 'AccessKeyId': 'AKIAOTHER'})}'")
    credentials = f"[p]\nCredential_Process : {other}\n"
    assert wins(process, credentials) == ("custom-process", "AKIAOTHER")
    (message,) = conflicts_of(process, credentials)
    assert message.startswith("'~/.aws/credentials' line 2: 'credential_process' of profile 'p' wins")


@pytest.mark.parametrize(
    ("keys", "outcome", "message"),
    [
        ("role_arn = arn:aws:iam::1:role/x", "PartialCredentialsError", "'role_arn' of profile 'p' is used"),
        (
            "role_arn = arn:aws:iam::1:role/x\nsource_profile = p",
            "InfiniteLoopConfigError",
            "'role_arn' of profile 'p' is used instead of credhelper by some SDKs, and makes others fail",
        ),
        (
            "web_identity_token_file = /x\nrole_arn = arn:aws:iam::1:role/x",
            ("assume-role-with-web-identity", None),
            "'web_identity_token_file' of profile 'p' wins over credhelper in every SDK",
        ),
        (
            "sso_account_id = 111122223333\nsso_role_name = x\nsso_region = eu-west-1\nsso_start_url = https://x",
            ("sso", None),
            "'sso_account_id' of profile 'p' wins over credhelper in boto3, the AWS CLI and others",
        ),
        (
            "login_session = arn:aws:iam::111122223333:user/x\nregion = eu-west-1",
            None,  # an error that depends on what is installed
            "'login_session' of profile 'p' wins over credhelper in boto3 and the AWS CLI",
        ),
    ],
)
@pytest.mark.parametrize("place", ["config", "credentials"])
def test_role_sso_login_or_web_identity_is_a_conflict(process, wins, place, keys, outcome, message):
    files = (process + keys, "") if place == "config" else (process, f"[p]\n{keys}\n")
    assert wins(*files) != ("custom-process", "AKIAPROCESS")
    assert outcome in (None, wins(*files))
    found = conflicts_of(*files)
    assert any(f"line {3 if place == 'config' else 2}: {message}" in each for each in found), found


def test_keys_in_the_environment_win_if_aws_profile_names_the_profile(process, wins, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "AKIAENV")
    assert wins(process, named=False) == ("env", "AKIAENV")
    assert wins(process) == ("custom-process", "AKIAPROCESS")
    (message,) = conflicts_of(process, AWS_ACCESS_KEY_ID="AKIAENV", AWS_WEB_IDENTITY_TOKEN_FILE="")
    where = "in most SDKs where AWS_PROFILE names the profile"
    assert message == f"AWS_ACCESS_KEY_ID is set, and wins over credhelper {where}"


def test_web_identity_in_the_environment_wins(process, wins, monkeypatch):
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    assert wins(process, named=False) == ("assume-role-with-web-identity", None)
    (message,) = conflicts_of(process, AWS_WEB_IDENTITY_TOKEN_FILE="/x")
    assert message.startswith("AWS_WEB_IDENTITY_TOKEN_FILE is set")


def test_section_without_profile_wins_in_older_sdks(process):
    assert conflicts_of(process + "[p]\nregion = x\n") == [
        "'~/.aws/config' line 3: [p] without 'profile' wins over credhelper in older SDKs, such as Go v1"
    ]


def test_name_with_an_equals_sign_is_a_conflict():
    (found,) = conflicts.find_conflicts(IniFile("", b""), IniFile("", b"", exists=False), {"a=b"}, {})
    assert found.sentence == "the SDKs for JavaScript, Rust and C++ cannot find profile 'a=b': it has a '='"


def test_no_sentence_quotes_a_value():
    keys = "aws_access_key_id = SECRET\naws_secret_access_key = SECRET\nrole_arn = SECRET\n"
    found = conflicts_of(PROCESS.format("SECRET") + keys, f"[p]\n{keys}", AWS_ACCESS_KEY_ID="SECRET")
    assert len(found) == 5
    assert "SECRET" not in "".join(found)
