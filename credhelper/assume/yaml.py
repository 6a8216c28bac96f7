"""YAML, for those who have asked for it: `pip install credhelper[yaml]`."""

from __future__ import annotations

from typing import Any, Final

from credhelper.errors import ConfigError

_ENDLESS: Final = 2**31
"""No line is folded: a session token is one word, and whoever reads by lines wants it whole."""


def load(text: str, what: str) -> Any:
    """What the text says, every scalar as the text it is: 012345678901 is an account, not a number.

    Raises ConfigError.
    """
    yaml = library()
    try:
        return yaml.load(text, yaml.BaseLoader)  # it makes strings, lists and dicts, nothing else
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigError(f"'{what}' is not valid YAML") from None


def dump(value: Any) -> str:
    """The value in the block style, keys in order, as the AWS CLI prints it. Raises ConfigError."""
    text: str = library().safe_dump(value, default_flow_style=False, width=_ENDLESS)
    return text


def library() -> Any:
    """The library. Raises ConfigError where it is not installed."""
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            "YAML needs a library that is not installed", "install credhelper as 'credhelper[yaml]'"
        ) from None
    return yaml
