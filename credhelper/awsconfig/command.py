"""The value of credential_process: a command that every SDK parses alike, by a path that upgrades keep.

Measured with botocore 1.44.5, AWS CLI 2.9.19, awscrt 0.38.1, the JavaScript SDK's loader and rclone 1.60.1
(the SDK for Go v1); read in the sources of the other SDKs.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

WINDOWS: Final = sys.platform == "win32"
LAUNCHER: Final = "credhelper-get"
PROGRAM: Final = "credhelper"
ANSWER_SECONDS: Final = 10.0
_PLAIN: Final = r"[A-Za-z0-9/._+@~:=-]"
_QUOTABLE: Final = r"[ '()&]"
_ON_WINDOWS: Final = r"[A-Za-z]:\\[A-Za-z0-9._+@~\\-]*[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._+@=-]*"


def command_line(program: Sequence[str], name: str, *, windows: bool = WINDOWS) -> str:
    """The value that runs `program` with `name` in every SDK.

    POSIX: most SDKs use `sh -c`, botocore shlex.split. Both read double quotes alike, but the SDK for Go v1
    takes quotes at the beginning for the whole command: hence /"Users/a b/credhelper-get". Windows: cmd.exe
    or the C runtime; quotes fail in Go v2 (aws-sdk-go-v2 #3208), PowerShell (aws-tools-for-powershell #393);
    Go v2 reads a backslash before an n as a line end, and botocore reads the file in the system's encoding.
    Raises ConfigError for a path that some SDK would read differently.
    """
    return " ".join(_word(word, windows=windows) for word in (*program, name))


def _word(word: str, *, windows: bool) -> str:
    if windows:
        if re.fullmatch(_ON_WINDOWS, word) and "\\n" not in word:
            return word
    elif re.match(r"/|[A-Za-z0-9][^/]*\Z", word) and all(map(_is_plain, word)):
        return word
    elif re.match(r"/.*[^ ]\Z", word) and all(
        _is_plain(letter) or re.match(_QUOTABLE, letter) for letter in word
    ):
        return f'/"{word[1:]}"'
    raise ConfigError(
        f"no quoting of '{word}' works in every SDK and shell",
        "install credhelper in a directory whose path has only letters, digits and . _ - +",
    )


def _is_plain(letter: str) -> bool:
    """Whether a character needs no quotes. Beyond ASCII, spaces and stray bytes are not printable."""
    return bool(re.match(_PLAIN, letter)) or (letter > "\x7f" and letter.isprintable())


def stable_program(
    directories: Iterable[str], answers: Callable[[str], bool], *, windows: bool = WINDOWS
) -> tuple[str, ...]:
    """The program to write into ~/.aws/config, with the subcommand `get` where it needs one.

    `directories` are those of the PATH, then that of the running program. Links are not resolved: an upgrade
    by pipx, uv or Homebrew replaces the target and keeps the link. `answers` tells whether a program works,
    see `answers_version`. If none does, the result is the bare name, for each SDK to find in its PATH.
    """
    suffix = ".exe" if windows else ""
    places = [place for place in directories if os.path.isabs(place)]
    found = [
        (os.path.join(place, name + suffix), *verb)
        for name, verb in ((LAUNCHER, ()), (PROGRAM, ("get",)))
        for place in places
    ]
    for program in sorted(found, key=lambda words: not is_stable(words[0])):
        with contextlib.suppress(ConfigError):
            command_line(program, "name", windows=windows)
            if answers(program[0]):
                return program
    return (PROGRAM, "get")


def is_stable(program: str) -> bool:
    """Whether the path survives an upgrade and works in every directory.

    Virtual environments, Homebrew's Cellar and the Nix store change with an upgrade; the target of a pyenv or
    asdf shim depends on the directory.
    """
    above = os.path.dirname(os.path.dirname(program))
    in_environment = os.path.exists(os.path.join(above, "pyvenv.cfg"))
    return not in_environment and not re.search(r"/Cellar/|^/nix/store/|/shims/", program)


def answers_version(program: str, environ: Mapping[str, str]) -> bool:
    """Whether a program is credhelper and starts: it answers `--version` within ANSWER_SECONDS."""
    try:
        done = subprocess.run(  # an absolute path, no shell
            [program, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and done.stdout.startswith(b"credhelper ")
