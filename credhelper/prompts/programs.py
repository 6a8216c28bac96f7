"""Programs that prompt: started by absolute path without a shell, and ended with their children."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from credhelper.deadline import Deadline, LateError, Running
from credhelper.processes import KILL, signal_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIMIT: Final = 4096
"""Bytes that are read of a program's output: as many as the longest line of a terminal."""


@dataclass(frozen=True)
class Ran:
    """The exit status of a program and its output, cut after LIMIT + 1 bytes."""

    status: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(default=b"", repr=False)

    @property
    def line(self) -> str:
        """The output as the line that was typed."""
        return self.stdout.decode("utf-8", "replace").removesuffix("\n")


def find(name: str, environ: Mapping[str, str]) -> str | None:
    """The absolute path of a program, or None: relative entries of PATH are ignored."""
    if os.path.isabs(name):
        return shutil.which(name)
    directories = [each for each in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(each)]
    found = shutil.which(name, path=os.pathsep.join(directories))
    # A relative name with a directory is not searched for, and Windows searches '.' first.
    return found if found is not None and os.path.isabs(found) else None


def has_display(environ: Mapping[str, str]) -> bool:
    """Whether a dialog would be visible: on macOS, except in an SSH session."""
    if sys.platform == "darwin":
        return not environ.get("SSH_CONNECTION")
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")) and sys.platform != "win32"


def find_dialog(name: str, environ: Mapping[str, str]) -> str | None:
    """The absolute path of a program that shows dialogs, where there is a display for it."""
    return find(name, environ) if has_display(environ) else None


def whole_seconds(seconds: float) -> int:
    """The seconds after which a dialog closes itself, so that none is left if this process is killed."""
    return max(1, math.ceil(seconds))


@contextlib.contextmanager
def started(
    argv: Sequence[str], environ: Mapping[str, str], **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, which is killed at the end of the block. Raises OSError."""
    process = subprocess.Popen(argv, env=dict(environ), bufsize=0, start_new_session=True, **streams)
    try:
        yield process
    finally:
        if process.returncode is None:  # afterwards its number may be another process's
            signal_group(process, KILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    seconds: float,
    *,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> Ran:
    """Run a program to its end. Raises LateError, and OSError where it cannot be started."""
    deadline = Deadline(seconds)
    with started(argv, environ, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr) as process:
        reading = [Running(partial(_read, each)) for each in (process.stdout, process.stderr) if each]
        printed = [each.wait(deadline.left()) for each in reading]
        if len(printed[0]) > LIMIT:
            return Ran(-1, *printed)  # it may wait until the rest is read
        try:
            return Ran(process.wait(deadline.left()), *printed)
        except subprocess.TimeoutExpired:
            raise LateError from None


def _read(stream: IO[bytes]) -> bytes:
    content = b""
    while len(content) <= LIMIT and (block := stream.read(LIMIT + 1 - len(content))):
        content += block
    return content
