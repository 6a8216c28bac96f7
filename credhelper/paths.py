"""Where files go, whose they are, and how a line gets into one.

A directory or file that the effective user does not own is neither written nor created in: under sudo,
or with somebody else's HOME, the answer still comes but nothing foreign is touched. Files are 0600 in
directories that are 0700 from their birth, and none of them holds a secret.
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
"""Bytes after which the log file makes way for a new one; one old one is kept."""


@dataclass(frozen=True)
class Places:
    """The files of one user."""

    config: str
    state: str

    @property
    def audit(self) -> str:
        """The record of minted and refused sessions."""
        return os.path.join(self.state, "audit.jsonl")

    @property
    def items(self) -> str:
        """The index of what is in the keyring, which cannot be listed itself."""
        return os.path.join(self.state, "items.jsonl")

    @property
    def log(self) -> str:
        """Non-fatal errors."""
        return os.path.join(self.state, "credhelper.log")


def find(environ: Mapping[str, str]) -> Places:
    """The files' places; CREDHELPER_CONFIG moves the configuration."""
    import platformdirs

    config = _absolute(platformdirs.user_config_dir("credhelper", appauthor=False), ".config")
    state = _absolute(platformdirs.user_state_dir("credhelper", appauthor=False), ".local", "state")
    named = environ.get("CREDHELPER_CONFIG") or os.path.join(config, "config.toml")
    return Places(os.path.abspath(os.path.expanduser(named)), state)


def _absolute(found: str, *usual: str) -> str:
    """What platformdirs found; a relative XDG variable is to be ignored, says the XDG specification."""
    home = os.path.expanduser("~")
    return found if os.path.isabs(found) else os.path.join(home, *usual, "credhelper")


def may_write_in(directory: str) -> bool:
    """Whether the directory is ours, or may be made because the nearest one above it is."""
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and _is_ours(path)


def _is_ours(path: str) -> bool:
    """Ours, and where it is a link of ours, so is what it leads to."""
    return sys.platform == "win32" or {os.lstat(path).st_uid, os.stat(path).st_uid} == {os.geteuid()}


def make_private(directory: str) -> None:
    """Make the directory, and what is missing above it, 0700. Raises OSError."""
    if os.path.isdir(directory):
        return
    if directory == os.path.dirname(directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    make_private(os.path.dirname(directory))
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:  # another process was quicker
        if not os.path.isdir(directory):
            raise


def open_private(path: str, flags: int) -> int:
    """A descriptor for a file of ours, created 0600. Raises OSError: not ours, a link, not a file."""
    _prepare(os.path.dirname(path), create=bool(flags & os.O_CREAT))
    nofollow = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | nofollow, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not (sys.platform == "win32" or status.st_uid == os.geteuid()):
        os.close(descriptor)
        raise PermissionError(f"'{path}' is not a file of ours")
    if flags & os.O_CREAT:
        _tighten(path, 0o600)
    return descriptor


def _prepare(directory: str, *, create: bool = True) -> None:
    """Check the owner of a directory; make it, 0700. Raises OSError."""
    if not may_write_in(directory):
        raise PermissionError(f"'{directory}' belongs to another user")
    if create:
        make_private(directory)
        _tighten(directory, 0o700)


def _tighten(path: str, mode: int) -> None:
    """Close to others what is ours and was left open to them."""
    if sys.platform != "win32" and stat.S_IMODE(os.lstat(path).st_mode) & 0o077 and not os.path.islink(path):
        with contextlib.suppress(OSError):  # a filesystem that keeps no modes
            os.chmod(path, mode)


def append_line(path: str, line: str) -> None:
    """Add one line in one write, so that lines of several processes do not mix. Raises OSError."""
    descriptor = open_private(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        _end_last_line(descriptor)
        content = line.encode("ascii", "backslashreplace") + b"\n"
        if os.write(descriptor, content) < len(content):  # a disk that is nearly full takes a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)


def _end_last_line(descriptor: int) -> None:
    """A line cut short by a full disk must not swallow the next one."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size:
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        if os.read(descriptor, 1) != b"\n":
            os.write(descriptor, b"\n")


def read_lines(path: str) -> list[str]:
    """The lines of a file of ours; none where it does not exist or is not ours."""
    try:
        with open(open_private(path, os.O_RDONLY), encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def replace_private(path: str, content: str) -> None:
    """Replace a private file as a whole, or leave it as it was. Raises OSError."""
    _prepare(os.path.dirname(path))
    write_atomically(path, content.encode("ascii"))


def write_atomically(
    path: str, content: bytes, mode: int = 0o600, check: Callable[[str], object] | None = None
) -> None:
    """Replace a file as a whole, or leave it as it was. Raises OSError.

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
        if mode != 0o600:
            os.chmod(new, mode)
        if check is not None:
            check(new)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        raise


def rotate(path: str) -> None:
    """Move a log file that has grown past LOG_LIMIT out of the way."""
    try:
        if os.lstat(path).st_size > LOG_LIMIT and _is_ours(path) and may_write_in(os.path.dirname(path)):
            os.replace(path, path + ".1")
    except OSError:
        pass
