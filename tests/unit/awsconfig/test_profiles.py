"""The AWS files are read as botocore reads them; what it refuses is an error with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import botocore.session
import pytest

from credhelper.awsconfig import profiles
from credhelper.errors import ConfigError

CONFIG = """\
[default]
region = eu-west-1

[profile plain]
role_arn = arn:aws:iam::111122223333:role/Plain
source_profile = default

[profile "with spaces"]
region = eu-central-1

[profile both]
aws_access_key_id = AKIAFROMCONFIG
aws_secret_access_key = from-config
region = us-west-2

[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1

[services local]
sts =
  endpoint_url = http://127.0.0.1:1
s3 =
  endpoint_url = http://127.0.0.1:2

[preview]
cloudfront = true

[profile half "quoted]
region = nowhere
"""
CREDENTIALS = """\
[both]
aws_access_key_id = AKIAFROMCREDENTIALS
aws_secret_access_key = from-credentials

[alone]
aws_access_key_id = AKIAALONE
aws_secret_access_key = x
"""


@pytest.fixture
def environ(tmp_path):
    """An environment that names both files, which exist."""
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(CREDENTIALS)
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def test_profiles_sso_sessions_and_services_are_those_of_botocore(environ, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = botocore.session.Session().full_config
    ours = profiles.read(environ)
    assert ours.profiles == theirs["profiles"]
    assert ours.sso_sessions == theirs["sso_sessions"]
    assert profiles.nested(ours.services["local"]["sts"]) == theirs["services"]["local"]["sts"]


def test_profile_in_both_files_has_the_keys_of_the_credentials_file(environ):
    both = profiles.read(environ).profiles["both"]
    assert (both["aws_access_key_id"], both["region"]) == ("AKIAFROMCREDENTIALS", "us-west-2")


@pytest.mark.parametrize(
    ("profile", "place"),
    [
        ("default", ("config", 1)),
        ("with spaces", ("config", 8)),
        ("both", ("credentials", 1)),
        ("alone", ("credentials", 5)),
        ("corp", None),
        ("preview", None),
    ],
)
def test_place_of_a_profile_is_its_file_and_line(environ, profile, place):
    found = profiles.place_of(profiles.read(environ), profile)
    assert (found and (os.path.basename(found[0]), found[1])) == place


def test_missing_files_are_empty(tmp_path):
    files = profiles.read(
        {"AWS_CONFIG_FILE": str(tmp_path / "no"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "neither")}
    )
    assert (files.profiles, files.sso_sessions, files.services) == ({}, {}, {})


def test_paths_default_to_home_and_expand_tilde_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "elsewhere")
    assert profiles.read({}).config_path == str(tmp_path / ".aws/config")
    assert profiles.read({"AWS_CONFIG_FILE": "~/$PLACE/c"}).config_path == str(tmp_path / "elsewhere/c")


def test_repr_shows_no_secret(environ):
    assert "from-c" not in repr(profiles.read(environ))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[profile a]\nx = 1\n[profile a]\n", "line 3: a second [profile a]"),
        (b"[profile a]\nx = 1\nx = 2\n", "line 3: a second 'x' in [profile a]"),
        (b"x = 1\n", "line 1: no section before it"),
        (b"[profile a]\nsecret-without-equals\n", "line 2: not understood"),
        (b"[profile \xff]\n", "is not valid UTF-8"),
    ],
)
def test_file_that_botocore_refuses_is_an_error_with_its_line_and_no_value(environ, content, message):
    Path(environ["AWS_CONFIG_FILE"]).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        profiles.read(environ)
    assert message in caught.value.sentence
    assert environ["AWS_CONFIG_FILE"] in caught.value.sentence
    assert "secret-without-equals" not in caught.value.sentence


def test_directory_in_place_of_the_file_is_an_error(environ):
    os.unlink(environ["AWS_CONFIG_FILE"])
    os.mkdir(environ["AWS_CONFIG_FILE"])
    with pytest.raises(ConfigError, match=r"cannot read .*: is a directory"):
        profiles.read(environ)


def test_byte_order_mark_and_crlf_are_accepted(environ):
    Path(environ["AWS_CONFIG_FILE"]).write_bytes(b"\xef\xbb\xbf[profile a]\r\nregion = eu-west-1\r\n")
    assert profiles.read(environ).profiles["a"] == {"region": "eu-west-1"}
