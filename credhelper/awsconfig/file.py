"""~/.aws/config on the disk: read whole, replaced whole, with a backup next to it."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Final

from credhelper import paths
from credhelper.awsconfig import profiles
from credhelper.awsconfig.block import block_entries, is_edited
from credhelper.awsconfig.ini import IniFile
from credhelper.errors import ConfigError, CredhelperError, os_reason, printable

if TYPE_CHECKING:
    from collections.abc import Callable

BACKUP: Final = ".credhelper-backup"
_WRITTEN_BY_US: Final = r"-(credential_process = |region = |\[|#[^=:]*$|$)"


def read(path: str) -> IniFile:
    """The file's content. Raises ConfigError for anything but a file, and for one that cannot be read."""
    try:
        text = _content(path)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {os_reason(error)}") from None
    return IniFile(path, text or b"", exists=text is not None)


def replace(file: IniFile, content: bytes, reads: Callable[[str], bool]) -> str | None:
    """Replace a file that was read with `content`; returns the path of the backup, if one was made.

    Owner, group and mode stay; a new file is 0600, in a directory that is 0700 if it is new, too. A symbolic
    link stays, and its target is replaced. `reads` tells whether botocore can read a file: unless it reads
    both the old file and the new one, nothing changes. A backup is made before the first block is written,
    and where text would go that credhelper has not written.
    Raises ConfigError: the file is another user's, read-only, broken, or has changed since it was read.
    Raises CredhelperError: the system refused.
    """
    if content == file.text:
        return None
    target = os.path.realpath(file.path)
    backup: list[str | None] = []

    def check(new: str) -> None:
        """Compare the complete new file with the old one, as the last step before it takes its place."""
        if file.exists:
            status = os.stat(target)
            if sys.platform != "win32" and os.stat(new).st_gid != status.st_gid:
                os.chown(new, -1, status.st_gid)
            os.chmod(new, stat.S_IMODE(status.st_mode))
        if not reads(new):
            problem = "would be a file that botocore does not read, with credhelper's profiles in it"
            raise ConfigError(f"'{file.path}' {problem}", "nothing was changed")
        if _content(target) != (file.text if file.exists else None):
            raise ConfigError(f"'{file.path}' has just been changed by another program", "try again")
        backup.append(_back_up(file))

    try:
        _check_writable(file, target)
        if file.exists and not reads(target):
            raise _broken(file)
        paths.make_private(os.path.dirname(target))
        paths.write_atomically(target, content, check=check)
    except OSError as error:
        raise CredhelperError(f"cannot write '{file.path}': {os_reason(error)}") from None
    return backup[0]


def _back_up(file: IniFile) -> str | None:
    """Keep the file's text in a file next to it, 0600. A backup of other text is never overwritten."""
    if not file.text or (block_entries(file) and not is_edited(file)):
        return None
    path, number = file.path + BACKUP, 1
    while not _holds(path, file.text):
        number += 1
        path = f"{file.path}{BACKUP}.{number}"
    return path


def _holds(path: str, text: bytes) -> bool:
    """Whether a file with this text exists, or was made now. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        with contextlib.suppress(OSError):  # a directory or the like
            return _content(path) == text
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        os.unlink(path)
        raise
    return True


def _content(path: str) -> bytes | None:
    """The bytes of a file, None where there is no file. Raises OSError."""
    try:
        # Not blocking: opening a FIFO would hang.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(0, "Not a regular file")
            return file.read()
    except FileNotFoundError:
        return None


def _check_writable(file: IniFile, target: str) -> None:
    """Raise ConfigError where the file or its directory belongs to another user or is read-only.

    The modes decide, not an attempt: a rename replaces a read-only file, and root may write anywhere.
    """
    directory = os.path.dirname(target)
    if not paths.may_write_in(directory):
        raise _foreign(directory)
    if os.path.isdir(directory) and not os.stat(directory).st_mode & stat.S_IWUSR:
        raise ConfigError(f"'{directory}' is read-only", f"make it writable with 'chmod u+w {directory}'")
    if not file.exists:
        return
    status = os.stat(target)
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        raise _foreign(file.path)
    if not status.st_mode & stat.S_IWUSR:
        raise ConfigError(f"'{file.path}' is read-only", f"make it writable with 'chmod u+w {target}'")
    if status.st_nlink > 1:
        problem = "has another name (a hard link), under which nothing would change"
        raise ConfigError(f"'{file.path}' {problem}", "make that one a copy or a symbolic link")


def _foreign(path: str) -> ConfigError:
    return ConfigError(f"'{path}' belongs to another user", "run 'credhelper setup' as that user")


def _broken(file: IniFile) -> ConfigError:
    """The error for a file that botocore does not read, with the line where it is known."""
    hint = "nothing was changed: repair it first"
    try:
        profiles.read({"AWS_CONFIG_FILE": file.path, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
    except ConfigError as error:
        return ConfigError(error.sentence, *error.hints, hint)
    return ConfigError(f"'{file.path}' is a file that neither boto3 nor the AWS CLI can read", hint)


def reads_config(path: str) -> bool:
    """Whether botocore can read a file; if not, none of its profiles works."""
    # These parts of botocore take a twentieth of the time that the whole takes (0.4 s).
    from botocore.configloader import load_config
    from botocore.exceptions import BotoCoreError

    try:
        load_config(path)
    except BotoCoreError:
        return False
    return True


def difference(file: IniFile, content: bytes) -> str:
    """The changed lines as `diff -U0` prints them; empty if nothing changes.

    Values that credhelper has not written are left out: they may be secret, and terminals keep output.
    """
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (file.text, content))
    was = file.path if file.exists else "/dev/null"
    lines = [*difflib.unified_diff(before, after, was, file.path, n=0, lineterm="")]
    shown = [*lines[:2], *map(_without_foreign_value, lines[2:])]
    return "".join(printable(line) + "\n" for line in shown)


def _without_foreign_value(line: str) -> str:
    if not line.startswith("-") or re.match(_WRITTEN_BY_US, line):
        return line
    key = re.match(r"-[^=:]*[=:]", line)
    return f"{key[0] if key else '-'} ..."
