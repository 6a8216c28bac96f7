"""Keys, sections and variables that an SDK prefers to a profile's credential_process.

Measured with botocore 1.44.5, AWS CLI 2.9.19, awscrt 0.38.1 and the JavaScript SDK's loader; read in the
sources of the other SDKs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.awsconfig.ini import sections

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from credhelper.awsconfig.ini import IniFile, Section

_IN_CONFIG: Final = {
    "aws_access_key_id": "wins over credhelper in most SDKs, not in boto3 and the AWS CLI",
    "role_arn": "is used instead of credhelper by some SDKs, and makes others fail",
    "web_identity_token_file": "wins over credhelper in every SDK",
    "sso_account_id": "wins over credhelper in boto3, the AWS CLI and others",
    "sso_role_name": "wins over credhelper in boto3, the AWS CLI and others",
    "login_session": "wins over credhelper in boto3 and the AWS CLI",
}
_IN_CREDENTIALS: Final = {
    **_IN_CONFIG,
    "aws_access_key_id": "wins over credhelper in every SDK",
    "credential_process": "wins over the one in the config file in every SDK",
}
_IN_ENVIRONMENT: Final = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")


@dataclass(frozen=True)
class Conflict:
    """Something that an SDK prefers to credhelper: a sentence with its place, and a hint."""

    sentence: str
    hint: str
    path: str | None = None
    line: int | None = None


def find_conflicts(
    config: IniFile, credentials: IniFile, names: Collection[str], environ: Mapping[str, str]
) -> list[Conflict]:
    """All that wins over credhelper in the profiles `names` of ~/.aws/config, in some SDK at least."""
    found: list[Conflict] = []
    for section in sections(config.text):
        if section.is_profile and section.name in names:
            found += _in_section(config, section, _IN_CONFIG)
        elif not section.kind and section.name in names:
            problem = f"[{section.name}] without 'profile' wins over credhelper in older SDKs, such as Go v1"
            found.append(_at(config, section.line, problem, "remove it"))
    for section in sections(credentials.text):
        if not section.kind and section.name in names:
            found += _in_section(credentials, section, _IN_CREDENTIALS)
    for name in names:
        if "=" in name:
            problem = f"the SDKs for JavaScript, Rust and C++ cannot find profile '{name}': it has a '='"
            found.append(Conflict(problem, "give it another name"))
    for variable in _IN_ENVIRONMENT:
        if environ.get(variable):
            problem = "is set, and wins over credhelper in most SDKs where AWS_PROFILE names the profile"
            found.append(Conflict(f"{variable} {problem}", f"unset {variable}"))
    return found


def _in_section(file: IniFile, section: Section, known: Mapping[str, str]) -> Iterator[Conflict]:
    for key, (_, line) in section.keys.items():
        if key in known:
            problem = f"'{key}' of profile '{section.name}' {known[key]}"
            yield _at(file, line, problem, "remove it, or give credhelper's profile another name")


def _at(file: IniFile, line: int, problem: str, hint: str) -> Conflict:
    return Conflict(f"'{file.path}' line {line}: {problem}", hint, file.path, line)
