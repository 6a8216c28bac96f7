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

    def runtime_directory(environ: Mapping[str, str]) -> str | None:  # noqa: ARG001 - the same everywhere
        """None: nothing here has an owner and a mode in the sense that is asked for."""
        return None

else:

    def runtime_directory(environ: Mapping[str, str]) -> str | None:
        """The directory, made if need be; None where no place qualifies."""
        for parent, name in _candidates(environ):
            path = os.path.join(parent, name)
            if os.path.isdir(parent) and _is_private(path):
                return path
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
        """Make the directory 0700, or find it so: real, ours, closed to others."""
        try:
            # A directory of our own inside somebody else's (XDG_RUNTIME_DIR under sudo) is litter there.
            if not _may_create_in(os.path.dirname(path)) and not os.path.lexists(path):
                return False
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError:
            return False
        status = os.lstat(path)
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.geteuid()
            and stat.S_IMODE(status.st_mode) == 0o700
        )

    def _may_create_in(parent: str) -> bool:
        status = os.stat(parent)
        return status.st_uid == os.geteuid() or bool(status.st_mode & stat.S_ISVTX)
