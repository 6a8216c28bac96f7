"""Origins: whose credentials a chain begins with, and how a sentence names them."""

from __future__ import annotations

import pytest

from credhelper.awsconfig.profiles import AwsFiles
from credhelper.errors import SourceError
from credhelper.sessions import sources

FILES = AwsFiles("aws/config", "aws/credentials", {}, {}, {})
KEYED = {"aws_access_key_id": "AKIAADMIN", "aws_secret_access_key": "MARKERSECRET", "region": "eu-west-1"}


@pytest.mark.parametrize(
    ("section", "lifetime", "login"),
    [
        (KEYED, "long", ""),
        ({**KEYED, "aws_session_token": "t"}, "temporary", ""),
        ({**KEYED, "aws_session_token": ""}, "long", ""),
        ({**KEYED, "aws_security_token": "t"}, "temporary", ""),
        ({**KEYED, "credential_process": "x"}, "unknown", ""),
        ({"credential_process": "x"}, "unknown", ""),
        ({"role_arn": "a", "web_identity_token_file": "t"}, "temporary", ""),
        ({"sso_start_url": "u", "sso_account_id": "1", "sso_role_name": "r"}, "temporary", "aws sso login"),
        ({"login_session": "l"}, "unknown", "aws login"),
    ],
)
def test_an_aws_profile_has_a_name_a_region_and_a_lifetime_and_shows_no_secret(
    section: dict[str, str], lifetime: str, login: str
) -> None:
    origin = sources.of_section("admin", section, FILES)
    assert (origin.lifetime, origin.login, str(origin)) == (lifetime, login, "AWS profile 'admin'")
    assert origin.region == section.get("region")
    assert "MARKERSECRET" not in repr(origin)


def test_no_secret_is_part_of_an_identity() -> None:
    one, other = (
        sources.of_section("x", {"credential_process": "x", **secret}, FILES).identity
        for secret in (
            {"aws_secret_access_key": "a", "aws_session_token": "b", "aws_security_token": "c"},
            {"aws_secret_access_key": "d"},
        )
    )
    assert one == other


def test_a_profile_with_a_role_is_a_role_unless_it_uses_web_identity() -> None:
    assert sources.is_role({"role_arn": "a", "source_profile": "b"})
    assert not sources.is_role({"role_arn": "a", "web_identity_token_file": "t"})
    assert not sources.is_role({"role_arn": ""})


@pytest.mark.parametrize("token", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
def test_keys_of_the_environment_are_long_lived_without_a_session_token(token: str) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    for made in (
        lambda env: sources.of_place("Environment", env),
        lambda env: sources.default_chain({}, FILES, env),
    ):
        assert (made(environ).identity, made(environ).lifetime) == ("key:AKIA", "long")
        assert made({**environ, token: "t"}).lifetime == "temporary"


def test_half_a_key_in_the_environment_is_an_error() -> None:
    with pytest.raises(SourceError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"):
        sources.of_place("Environment", {"AWS_ACCESS_KEY_ID": "AKIA"})


def test_without_keys_the_default_chain_depends_on_its_variables_and_on_default() -> None:
    variables = (*sources._ENVIRONMENT, "")
    identities = [sources.default_chain({}, FILES, {name: "x"}).identity for name in variables]
    identities.append(sources.default_chain({"credential_process": "x"}, FILES, {}).identity)
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (sources.saved_key("k", "AKIA"), "saved key 'k'"),
        (sources.default_chain({}, FILES, {}), "the default chain"),
        (sources.of_place("EcsContainer", {}), "credential_source 'EcsContainer'"),
        (sources.of_place("Ec2InstanceMetadata", {}), "credential_source 'Ec2InstanceMetadata'"),
    ],
)
def test_a_source_has_a_name_for_messages(origin: sources.CredentialSource, said: str) -> None:
    assert str(origin) == said


def test_without_an_aws_profile_the_endpoint_is_that_of_default() -> None:
    files = AwsFiles("c", "d", {"default": {"endpoint_url": "default"}, "k": {"endpoint_url": "k"}}, {}, {})
    assert sources.endpoint_url({}, files, sources.saved_key("k", "AKIA")) == "default"
    assert sources.endpoint_url({}, files, sources.of_section("k", KEYED, files)) == "k"
