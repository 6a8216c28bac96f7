"""The runtime place: the directory that this user's processes meet in.

Locks live here. Only a real directory that is ours and closed to everybody else will do: on a shared
machine anybody may have made `/tmp/credhelper-1000` first.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


if sys.platform == "win32":

    def runtime_directory(environ: Mapping[str, str]) -> str | None:
        """The directory, made if need be, in the part of the profile that is this user's on this machine."""
        local = environ.get("LOCALAPPDATA", "")
        if not os.path.isabs(local):
            return None
        path = os.path.join(local, "credhelper", "run")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError:
            return None
        return path

else:

    def runtime_directory(environ: Mapping[str, str]) -> str | None:
        """The directory, made if need be; None where no place qualifies."""
        for parent, name in _candidates(environ):
            path = os.path.join(parent, name)
            try:
                if _is_safe(parent) and _is_private(path):
                    return path
            except OSError:
                continue  # it is not there, or went away while we looked
        return None

    def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        if sys.platform == "darwin":
            yield os.path.join(os.path.expanduser("~"), "Library", "Caches"), "credhelper"
            return
        declared = environ.get("XDG_RUNTIME_DIR", "")
        if os.path.isabs(declared):
            yield declared, "credhelper"
        uid = os.geteuid()
        yield f"/run/user/{uid}", "credhelper"
        yield "/tmp", f"credhelper-{uid}"  # noqa: S108 - its owner and mode are checked before it is used

    def _is_private(path: str) -> bool:
        """Make the directory 0700, or find it so: real, ours, closed to others. Raises OSError."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        status = os.lstat(path)
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.geteuid()
            and stat.S_IMODE(status.st_mode) == 0o700
        )

    def _is_safe(parent: str) -> bool:
        """Whether nobody else can put another directory in the place of ours. Raises OSError.

        Somebody else's (XDG_RUNTIME_DIR under sudo) is not: they can, and ours would be litter there.
        """
        status = os.stat(parent)
        shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        sticky = bool(status.st_mode & stat.S_ISVTX)
        if status.st_uid == os.geteuid():
            return sticky or not shared
        return sticky and status.st_uid == 0
