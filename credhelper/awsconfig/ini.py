"""The sections of ~/.aws/config and ~/.aws/credentials with their lines, also where botocore sees none."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Final

from credhelper.errors import ConfigError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class IniFile:
    """~/.aws/config or ~/.aws/credentials when it was read. A missing file is empty."""

    path: str
    text: bytes = field(repr=False)
    exists: bool = True

    def error_at(self, line: int, problem: str, *hints: str) -> ConfigError:
        """An error with file and line."""
        return ConfigError(f"'{self.path}' line {line}: {problem}", *hints)


@dataclass(frozen=True)
class Section:
    """A section: line, kind (`profile`, or '' if none), name, and the value and line of each key."""

    line: int
    kind: str
    name: str
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_profile(self) -> bool:
        """Whether it is a profile of ~/.aws/config. botocore takes any kind that begins with `profile`."""
        return self.kind.startswith("profile") or (self.kind, self.name) == ("", "default")

    def value(self, key: str) -> str:
        """A key's value; '' where it is not set."""
        return self.keys.get(key, ("", 0))[0]


def sections(text: bytes) -> list[Section]:
    """All that some SDK could take for a section, broken ones included."""
    found: list[Section] = []
    for number, line in enumerate(text.removeprefix(BYTE_ORDER_MARK).splitlines(), 1):
        stripped = line.decode("utf-8", "replace").strip()
        if stripped.startswith("["):
            kind, name = _header(stripped)
            found.append(Section(number, kind, name))
        elif found and (assignment := re.match(r"([^#;=:][^=:]*?)\s*[=:]\s*(.*)", stripped)):
            found[-1].keys.setdefault(assignment[1].lower(), (assignment[2], number))
    return found


def _header(line: str) -> tuple[str, str]:
    """Kind and name of a header: `[profile "a"]` is a profile, `[a]` has no kind."""
    inside = line[1:].partition("]")[0]
    try:
        words = shlex.split(inside)
    except ValueError:  # botocore ignores such a section, other SDKs do not
        words = inside.split()
    return ("", "".join(words)) if len(words) < 2 else (words[0], " ".join(words[1:]))
