"""The command behind credential_process: one that all SDKs run alike, and that an upgrade leaves where it is.

What SDKs do was measured with botocore 1.44.5, AWS CLI 2.9.19, awscrt 0.38.1, the JavaScript SDK's loader and
rclone 1.60.1 (the SDK for Go v1), or read in the sources of those named.
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
    """What credential_process has to say to run `program` with `name` in every SDK.

    On POSIX that is `sh -c` in most SDKs and shlex.split in botocore. Double quotes mean the same to both,
    but not at the beginning of the line, where the SDK for Go v1 takes what is quoted for all of it: hence
    /"Users/a b/credhelper-get". On Windows it is cmd.exe or the C runtime's rules. There quotes fail in Go v2
    and PowerShell (aws-sdk-go-v2 #3208, aws-tools-for-powershell #393), Go v2 makes a line end of a backslash
    before an n, and botocore reads the file in the system's own encoding, so that none of these is written.
    Raises ConfigError for what no quoting carries through all of them.
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
        f"no quoting carries '{word}' through every SDK and shell",
        "let credhelper be found in a directory whose path has letters, digits and . _ - + only",
    )


def _is_plain(letter: str) -> bool:
    """Whether it needs no quotes. Outside ASCII, spaces are not printable, and nor are stray bytes."""
    return bool(re.match(_PLAIN, letter)) or (letter > "\x7f" and letter.isprintable())


def stable_program(
    directories: Iterable[str], answers: Callable[[str], bool], *, windows: bool = WINDOWS
) -> tuple[str, ...]:
    """The program to write into ~/.aws/config, and its verb if it takes one.

    `directories` are those of the PATH, then where we run from ourselves. Paths are taken as they are found,
    links unresolved: an upgrade replaces what the link of pipx, uv or Homebrew leads to and leaves the link.
    `answers` tells whether a program does, as `answers_version` finds out. Where nothing fits, it is the bare
    name, which each SDK looks for in its own PATH.
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
    """Whether it is there after an upgrade and in every directory.

    A virtual environment, Homebrew's Cellar and a Nix store come and go. What a shim of pyenv or asdf starts
    depends on the directory, and may be nothing.
    """
    above = os.path.dirname(os.path.dirname(program))
    in_environment = os.path.exists(os.path.join(above, "pyvenv.cfg"))
    return not in_environment and not re.search(r"/Cellar/|^/nix/store/|/shims/", program)


def answers_version(program: str, environ: Mapping[str, str]) -> bool:
    """Whether it is a credhelper that starts: `--version` is answered in time."""
    try:
        done = subprocess.run(  # found on the PATH by its absolute path, and no shell between
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
