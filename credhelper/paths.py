"""The places, owners and modes of files, and how they are written.

Only files and directories of the effective user are written: under sudo, or with a foreign HOME, commands
work without them. Files are created 0600 in directories created 0700, and none of them holds a secret.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG_LIMIT = 1024 * 1024
"""Bytes after which a log file is rotated; one old file is kept."""


@dataclass(frozen=True)
class Places:
    """The files of one user."""

    config: str
    state: str

    @property
    def audit(self) -> str:
        """The audit log of minted and refused sessions."""
        return os.path.join(self.state, "audit.jsonl")

    @property
    def items(self) -> str:
        """The index of the items in the keyring."""
        return os.path.join(self.state, "items.jsonl")

    @property
    def log(self) -> str:
        """Non-fatal errors."""
        return os.path.join(self.state, "credhelper.log")


def find(environ: Mapping[str, str]) -> Places:
    """The places of this user's files; CREDHELPER_CONFIG moves the configuration."""
    import platformdirs

    config = _absolute(platformdirs.user_config_dir("credhelper", appauthor=False), ".config")
    state = _absolute(platformdirs.user_state_dir("credhelper", appauthor=False), ".local", "state")
    named = environ.get("CREDHELPER_CONFIG") or os.path.join(config, "config.toml")
    return Places(os.path.abspath(os.path.expanduser(named)), state)


def _absolute(found: str, *usual: str) -> str:
    """The directory from platformdirs; the XDG specification ignores relative variables."""
    home = os.path.expanduser("~")
    return found if os.path.isabs(found) else os.path.join(home, *usual, "credhelper")


def may_write_in(directory: str) -> bool:
    """Whether this user owns the directory, or else the nearest existing one above it."""
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and _is_own(path)


def _is_own(path: str) -> bool:
    """Whether this user owns the path, and the target if it is a link."""
    return sys.platform == "win32" or {os.lstat(path).st_uid, os.stat(path).st_uid} == {os.geteuid()}


def make_private(directory: str) -> None:
    """Create the directory and its missing parents, 0700. Raises OSError."""
    if os.path.isdir(directory):
        return
    if directory == os.path.dirname(directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    make_private(os.path.dirname(directory))
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:  # another process has created it
        if not os.path.isdir(directory):
            raise


def open_private(path: str, flags: int) -> int:
    """A descriptor of a private file, created 0600. Raises OSError: another user's, a link, not a file."""
    _prepare(os.path.dirname(path), create=bool(flags & os.O_CREAT))
    nofollow = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | nofollow, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not (sys.platform == "win32" or status.st_uid == os.geteuid()):
        os.close(descriptor)
        raise PermissionError(f"'{path}' is not a regular file of this user")
    if flags & os.O_CREAT:
        _tighten(path, 0o600)
    return descriptor


def _prepare(directory: str, *, create: bool = True) -> None:
    """Check the owner of a directory and create it, 0700. Raises OSError."""
    if not may_write_in(directory):
        raise PermissionError(f"'{directory}' belongs to another user")
    if create:
        make_private(directory)
        _tighten(directory, 0o700)


def _tighten(path: str, mode: int) -> None:
    """Remove the permissions of other users."""
    if sys.platform != "win32" and stat.S_IMODE(os.lstat(path).st_mode) & 0o077 and not os.path.islink(path):
        with contextlib.suppress(OSError):  # a filesystem without modes
            os.chmod(path, mode)


def append_line(path: str, line: str) -> None:
    """Append a line in one write, so that lines of several processes stay whole. Raises OSError."""
    descriptor = open_private(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        _end_last_line(descriptor)
        content = line.encode("ascii", "backslashreplace") + b"\n"
        if os.write(descriptor, content) < len(content):  # a nearly full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)


def _end_last_line(descriptor: int) -> None:
    """End a last line that a full disk has cut short."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size:
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        if os.read(descriptor, 1) != b"\n":
            os.write(descriptor, b"\n")


def read_lines(path: str) -> list[str]:
    """The lines of a private file; none if it does not exist or is another user's."""
    try:
        with open(open_private(path, os.O_RDONLY), encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def replace_private(path: str, content: str) -> None:
    """Replace a private file as a whole, or leave it as it was. Raises OSError."""
    _prepare(os.path.dirname(path))
    write_atomically(path, content.encode("ascii"))


def write_atomically(path: str, content: bytes, check: Callable[[str], object] | None = None) -> None:
    """Replace a file as a whole by one that is 0600, or leave it as it was. Raises OSError.

    `check` gets the path of the complete new file before it replaces the old one, and may raise to stop it.
    """
    import tempfile

    directory, name = os.path.split(path)
    descriptor, new = tempfile.mkstemp(prefix=f".{name}.", suffix=".new", dir=directory)  # 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if check is not None:
            check(new)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        raise


def rotate(path: str) -> None:
    """Rename a log file that is larger than LOG_LIMIT."""
    try:
        if os.lstat(path).st_size > LOG_LIMIT and _is_own(path) and may_write_in(os.path.dirname(path)):
            os.replace(path, path + ".1")
    except OSError:
        pass
