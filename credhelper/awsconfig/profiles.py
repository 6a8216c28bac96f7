"""~/.aws/config and ~/.aws/credentials, read without botocore.

Only as much as it takes to know whose credentials a profile stands for: that has to be known before the
cache can be asked, and importing botocore would cost more than the rest of a cached answer. What the
credentials are, botocore resolves.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Both files, wherever the environment says they are. Raises ConfigError; a missing file is empty."""
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
    """Where ~/.aws/config is."""
    return _place(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")


def credentials_path(environ: Mapping[str, str]) -> str:
    """Where ~/.aws/credentials is."""
    return _place(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")


def _place(path: str) -> str:
    return os.path.abspath(os.path.expanduser(os.path.expandvars(path)))


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
        raise ConfigError(
            f"'{path}' line {error.lineno}: a second [{error.section}]",
            "no AWS SDK reads a file in which a section stands twice",
        ) from None
    except configparser.DuplicateOptionError as error:
        raise ConfigError(
            f"'{path}' line {error.lineno}: a second '{error.option}' in [{error.section}]"
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(f"'{path}' line {error.lineno}: no section before it") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else 1
        raise ConfigError(f"'{path}' line {line}: not understood") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def place_of(files: AwsFiles, profile: str, key: str = "") -> tuple[str, int] | None:
    """The file and the line of a profile's key, or of its header; None where neither file has it."""
    for path in (files.credentials_path, files.config_path):
        headers = [profile] if path == files.credentials_path or profile == "default" else []
        inside = False
        for number, line in enumerate(_lines(path), 1):
            if line.startswith("["):
                header = line[1:].partition("]")[0]
                inside = header in headers or (not headers and _split(header) == ("profile", profile))
            if inside and re.match(rf"{re.escape(key)}\s*[=:]" if key else r"\[", line):
                return path, number
    return None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except (OSError, ValueError):
        return []


def nested(value: str) -> dict[str, str]:
    """The indented block below a key, such as `sts =` in a [services] section."""
    pairs = (line.partition("=") for line in value.splitlines() if "=" in line)
    return {key.strip(): text.strip() for key, _, text in pairs}
