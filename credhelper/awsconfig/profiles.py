"""~/.aws/config and ~/.aws/credentials, read without botocore.

The cache key of a session depends on the source of its credentials, and importing botocore takes longer than
the rest of a cached answer. The credentials themselves are resolved by botocore.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from credhelper.awsconfig.ini import sections
from credhelper.errors import ConfigError, os_reason

Section = Mapping[str, str]


@dataclass(frozen=True)
class AwsFiles:
    """The profiles, SSO sessions and services of both files, merged as botocore merges them."""

    config_path: str
    credentials_path: str
    profiles: Mapping[str, Section] = field(repr=False)
    sso_sessions: Mapping[str, Section] = field(repr=False)
    services: Mapping[str, Section] = field(repr=False)


def read(environ: Mapping[str, str]) -> AwsFiles:
    """Read both files, at the paths of the environment. Raises ConfigError; a missing file is empty."""
    config, credentials = config_path(environ), credentials_path(environ)
    named: dict[str, dict[str, dict[str, str]]] = {"profile": {}, "sso-session": {}, "services": {}}
    for header, section in _sections(config).items():
        if header == "default":
            named["profile"][header] = section
            continue
        kind, name = _split(header)
        if kind in named and name:
            named[kind][name] = section
    for name, section in _sections(credentials).items():
        named["profile"].setdefault(name, {}).update(section)  # the credentials file wins
    return AwsFiles(config, credentials, named["profile"], named["sso-session"], named["services"])


def config_path(environ: Mapping[str, str]) -> str:
    """The path of ~/.aws/config."""
    return _path(environ, "AWS_CONFIG_FILE", "~/.aws/config")


def credentials_path(environ: Mapping[str, str]) -> str:
    """The path of ~/.aws/credentials."""
    return _path(environ, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")


def _path(environ: Mapping[str, str], variable: str, default: str) -> str:
    return os.path.abspath(os.path.expanduser(os.path.expandvars(environ.get(variable) or default)))


def _split(header: str) -> tuple[str, str]:
    """`profile "with spaces"` as its two words."""
    try:
        words = shlex.split(header)
    except ValueError:
        return "", ""
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _sections(path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8-sig") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {os_reason(error)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"'{path}' is not valid UTF-8") from None
    except configparser.DuplicateSectionError as error:
        problem = f"'{path}' line {error.lineno}: a second [{error.section}]"
        raise ConfigError(problem, "no AWS SDK reads a file with a duplicate section") from None
    except configparser.DuplicateOptionError as error:
        problem = f"a second '{error.option}' in [{error.section}]"
        raise ConfigError(f"'{path}' line {error.lineno}: {problem}") from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(f"'{path}' line {error.lineno}: no section before it") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else 1
        raise ConfigError(f"'{path}' line {line}: not understood") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def place_of(files: AwsFiles, profile: str) -> tuple[str, int] | None:
    """The file and line of a profile; None where neither file has it."""
    for path in (files.credentials_path, files.config_path):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            for section in sections(file.read()):
                is_profile = not section.kind if path == files.credentials_path else section.is_profile
                if is_profile and section.name == profile:
                    return path, section.line
    return None


def nested(value: str) -> dict[str, str]:
    """The indented block below a key, such as `sts =` in a [services] section."""
    pairs = (line.partition("=") for line in value.splitlines() if "=" in line)
    return {key.strip(): text.strip() for key, _, text in pairs}
