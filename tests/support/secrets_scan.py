"""Searches for a secret in files, and in the command lines and environments of other processes."""

from __future__ import annotations

import base64
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def find_secret(roots: Iterable[str | Path], marker: str, since: float = 0.0) -> list[str]:
    """The files under `roots`, and the processes but this one, that hold `marker`.

    It is looked for in clear, in UTF-16, in hexadecimal, and in base64 at each of the three places where a
    text can begin. A file that has not changed `since` (seconds since the epoch) cannot have got it.
    """
    forms = list(_forms(marker.encode()))
    return [str(place) for place in (*_files(roots, since), *_processes()) if _holds(place, forms)]


def _forms(marker: bytes) -> Iterator[bytes]:
    yield marker
    yield marker.decode().encode("utf-16-le")
    yield marker.hex().encode()
    yield marker.hex().upper().encode()
    for before in range(3):
        # The characters of which all six bits belong to the marker.
        first, last = -(-8 * before // 6), 8 * (before + len(marker)) // 6
        text = bytes(before) + marker + bytes(3)
        yield base64.b64encode(text)[first:last]
        yield base64.urlsafe_b64encode(text)[first:last]


def _files(roots: Iterable[str | Path], since: float) -> Iterator[Path]:
    for root in roots:
        for directory, _, names in os.walk(root):
            for name in names:
                with suppress(OSError):  # gone in the meantime
                    path = os.path.join(directory, name)
                    status = os.lstat(path)
                    if stat.S_ISREG(status.st_mode) and status.st_ctime >= since:  # which cannot be forged
                        yield Path(path)


def _processes() -> Iterator[Path]:
    """Command lines and environments; a test itself knows the secret, and so do its threads."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            yield process / "cmdline"
            yield process / "environ"


def _holds(path: Path, forms: list[bytes]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # gone in the meantime, or another user's
        return False
    return any(form in content for form in forms)
