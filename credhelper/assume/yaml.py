"""YAML, with the extra `credhelper[yaml]`."""

from __future__ import annotations

from typing import Any, Final

from credhelper.errors import ConfigError

_ENDLESS: Final = 2**31
"""Do not fold lines: programs that read line by line need a session token in one piece."""


def load(text: str, what: str) -> Any:
    """The document, with scalars as strings: 012345678901 is an account id. Raises ConfigError."""
    yaml = library()
    try:
        return yaml.load(text, yaml.BaseLoader)  # makes strings, lists and dicts only
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigError(f"'{what}' is not valid YAML") from None


def dump(value: Any) -> str:
    """The value in block style with sorted keys, as the AWS CLI prints it. Raises ConfigError."""
    text: str = library().safe_dump(value, default_flow_style=False, width=_ENDLESS)
    return text


def library() -> Any:
    """The library. Raises ConfigError if it is not installed."""
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            "YAML needs a library that is not installed", "install credhelper as 'credhelper[yaml]'"
        ) from None
    return yaml
