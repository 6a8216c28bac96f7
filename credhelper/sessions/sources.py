"""Where a chain begins: credentials that the SDK or the keyring has, and their identity.

The identity is part of the KEY of every call that depends on it, so it is found without network and botocore:
an access key id, an SSO account and role, or a digest of the AWS profile.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from credhelper.awsconfig import profiles
from credhelper.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.awsconfig.profiles import AwsFiles, Section

_SECRETS: Final = ("aws_secret_access_key", "aws_session_token", "aws_security_token")

Place = Literal[
    "aws profile", "default chain", "Environment", "Ec2InstanceMetadata", "EcsContainer", "saved key"
]
Lifetime = Literal["long", "temporary", "unknown"]

_ENVIRONMENT: Final = (
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
)
"""What the default chain reads after the key variables and the files."""


@dataclass(frozen=True)
class CredentialSource:
    """Source credentials by their place; `name` is the AWS profile's or the saved key's."""

    place: Place
    name: str
    identity: str
    lifetime: Lifetime = "unknown"
    region: str | None = None
    login: str = ""  # the command that renews it, where it comes from a login

    def __str__(self) -> str:
        """As a sentence names it."""
        if self.place in ("aws profile", "saved key"):
            return f"{self.place.replace('aws', 'AWS')} '{self.name}'"
        return f"the {self.place}" if self.place == "default chain" else f"credential_source '{self.place}'"


def is_role(section: Section) -> bool:
    """Whether an AWS profile assumes a role from another source; web identity stays the SDK's."""
    return bool(section.get("role_arn")) and "web_identity_token_file" not in section


def of_section(name: str, section: Section, files: AwsFiles) -> CredentialSource:
    """The credentials of a profile of the AWS files."""
    identity, lifetime = _of_profile(section, files)
    return CredentialSource("aws profile", name, identity, lifetime, section.get("region"), _login(section))


def _of_profile(section: Section, files: AwsFiles) -> tuple[str, Lifetime]:
    sso = {**files.sso_sessions.get(section.get("sso_session", ""), {}), **section}
    if "sso_start_url" in sso and "sso_account_id" in sso:
        account, role = sso["sso_account_id"], sso.get("sso_role_name", "")
        parts = sso["sso_start_url"], section.get("sso_session", ""), account, role
        return _digest("sso", *parts), "temporary"
    if "aws_access_key_id" in section and "credential_process" not in section:
        token = section.get("aws_session_token") or section.get("aws_security_token")
        return _of_key(section["aws_access_key_id"], token)
    lifetime: Lifetime = "temporary" if "web_identity_token_file" in section else "unknown"
    public = {key: value for key, value in section.items() if key not in _SECRETS}
    return _digest("profile", json.dumps(public, sort_keys=True)), lifetime


def _login(section: Section) -> str:
    """The command that makes the login of a profile."""
    if "sso_session" in section or "sso_start_url" in section:
        return "aws sso login"
    return "aws login" if "login_session" in section else ""


def _of_key(access_key_id: str, session_token: str | None) -> tuple[str, Lifetime]:
    return f"key:{access_key_id}", "temporary" if session_token else "long"


def _of_environment(environ: Mapping[str, str]) -> tuple[str, Lifetime] | None:
    """The identity of the key in the environment; None where there is none."""
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN")
    key_id = environ.get("AWS_ACCESS_KEY_ID")
    return _of_key(key_id, token) if key_id else None


def default_chain(section: Section, files: AwsFiles, environ: Mapping[str, str]) -> CredentialSource:
    """The SDK's default chain: environment, [default] (`section`), container, instance."""
    region = section.get("region")
    if found := _of_environment(environ):
        return CredentialSource("default chain", "default", *found, region)
    identity, lifetime = _of_profile(section, files)
    if not identity.startswith("key:"):
        identity = _digest(identity, *_surroundings(environ))
    return CredentialSource("default chain", "default", identity, lifetime, region, _login(section))


def of_place(
    place: Literal["Environment", "Ec2InstanceMetadata", "EcsContainer"], environ: Mapping[str, str]
) -> CredentialSource:
    """The credentials that `credential_source` names. Raises SourceError."""
    if place != "Environment":
        return CredentialSource(place, "", _digest(place, *_surroundings(environ)), "temporary")
    found = _of_environment(environ)
    if found is None or not environ.get("AWS_SECRET_ACCESS_KEY"):
        raise SourceError(
            "credential_source 'Environment': AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"
        )
    return CredentialSource(place, "", *found)


def _surroundings(environ: Mapping[str, str]) -> list[str]:
    return [environ.get(name, "") for name in _ENVIRONMENT]


def saved_key(name: str, access_key_id: str | None) -> CredentialSource:
    """The key that `source_key` names. Raises SourceError where it cannot be read."""
    if access_key_id is None:
        raise SourceError(
            f"saved key '{name}' is not in the OS keyring, or the keyring cannot be read now",
            f"run 'credhelper key list' to see the saved keys, or 'credhelper key add {name}'",
        )
    return CredentialSource("saved key", name, f"key:{access_key_id}", "long")


def missing_profile(name: str, files: AwsFiles, *hints: str) -> SourceError:
    """The error where `source_profile` names nothing."""
    return SourceError(
        f"source_profile '{name}' is neither a profile of credhelper nor one in '{files.config_path}'", *hints
    )


def endpoint_url(environ: Mapping[str, str], files: AwsFiles, origin: CredentialSource) -> str | None:
    """The STS endpoint that the environment or the AWS config overrides, in the SDKs' order."""
    section = files.profiles.get(origin.name if origin.place == "aws profile" else "default", {})
    ignored = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or section.get(
        "ignore_configured_endpoint_urls", ""
    )
    if ignored.lower() == "true":
        return None
    services = files.services.get(section.get("services", ""), {})
    return (
        environ.get("AWS_ENDPOINT_URL_STS")
        or environ.get("AWS_ENDPOINT_URL")
        or profiles.nested(services.get("sts", "")).get("endpoint_url")
        or section.get("endpoint_url")
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
