"""The file on the disk: read whole, replaced whole, and what it held kept beside it."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
import sys
import tempfile
from typing import TYPE_CHECKING, Final

from credhelper import paths
from credhelper.awsconfig import profiles
from credhelper.awsconfig.block import has_block, is_edited
from credhelper.awsconfig.ini import IniFile
from credhelper.errors import ConfigError, CredhelperError, os_reason, printable

if TYPE_CHECKING:
    from collections.abc import Callable

BACKUP: Final = ".credhelper-backup"
_OURS: Final = r"-(credential_process = |region = |\[|#[^=:]*$|$)"


def read(path: str) -> IniFile:
    """The file as it is. Raises ConfigError: it is no file, or cannot be read."""
    try:
        text = _content(path)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {os_reason(error)}") from None
    return IniFile(path, text or b"", exists=text is not None)


def replace(file: IniFile, content: bytes, reads: Callable[[str], bool]) -> str | None:
    """Put `content` into the place of what the file held when it was read; returns where that is kept, if so.

    Owner, group and mode stay; a new file is 0600, in a directory that is 0700 if it is new, too. A symbolic
    link stays and what it leads to is replaced. `reads` tells whether botocore reads the file of a path: it
    is asked about the file as it is and about the new one, and unless it reads both nothing changes.
    A copy is kept where something would go that is not ours alone, or the block comes in for the first time.
    Raises ConfigError: the file is not ours, read-only, broken already, or has changed since it was read.
    Raises CredhelperError: the system refused.
    """
    if content == file.text:
        return None
    target = os.path.realpath(file.path)
    try:
        _check_ours(file, target)
        if file.exists and not reads(target):
            raise _broken(file)
        paths.make_private(os.path.dirname(target))
        return _put(file, target, content, reads)
    except OSError as error:
        raise CredhelperError(f"cannot write '{file.path}': {os_reason(error)}") from None


def _back_up(file: IniFile) -> str | None:
    """Keep what the file held beside it, 0600. An older copy of other content is never written over."""
    if not file.text or (has_block(file) and not is_edited(file)):
        return None
    path, number = file.path + BACKUP, 1
    while not _is_kept(path, file.text):
        number += 1
        path = f"{file.path}{BACKUP}.{number}"
    return path


def _is_kept(path: str, text: bytes) -> bool:
    """Whether a file of this text is there, or could be made. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        with contextlib.suppress(OSError):  # it is something else than a file
            return _content(path) == text
        return False
    try:
        _fill(descriptor, text)
    except BaseException:
        os.unlink(path)
        raise
    return True


def _content(path: str) -> bytes | None:
    """What is in the file, None where there is none. Raises OSError."""
    try:
        # Not blocking: a FIFO in place of the file must not hang us.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(0, "Not a regular file")
            return file.read()
    except FileNotFoundError:
        return None


def _check_ours(file: IniFile, target: str) -> None:
    """Raise ConfigError where the file, or its directory, is another user's or not to be written to.

    The modes are looked at, not tried out: a rename replaces a read-only file, and root may write anywhere.
    """
    directory = os.path.dirname(target)
    if not paths.may_write_in(directory):
        raise ConfigError(f"'{directory}' belongs to another user", "run 'credhelper setup' as that user")
    if os.path.isdir(directory) and not os.stat(directory).st_mode & stat.S_IWUSR:
        raise ConfigError(f"'{directory}' is read-only", f"make it writable with 'chmod u+w {directory}'")
    if not file.exists:
        return
    status = os.stat(target)
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        raise ConfigError(f"'{file.path}' belongs to another user", "run 'credhelper setup' as that user")
    if not status.st_mode & stat.S_IWUSR:
        raise ConfigError(f"'{file.path}' is read-only", f"make it writable with 'chmod u+w {target}'")
    if status.st_nlink > 1:
        wrong = "has another name (a hard link), under which nothing would change"
        raise ConfigError(f"'{file.path}' {wrong}", "make that one a copy or a symbolic link")


def _broken(file: IniFile) -> ConfigError:
    """What is wrong with a file that botocore does not read, with its line where we know it."""
    try:
        profiles.read({"AWS_CONFIG_FILE": file.path, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
    except ConfigError as error:
        return ConfigError(error.sentence, *error.hints, "nothing was changed: repair it first")
    return ConfigError(
        f"'{file.path}' is a file that neither boto3 nor the AWS CLI reads, even as it is",
        "nothing was changed: repair it first",
    )


def _put(file: IniFile, target: str, content: bytes, reads: Callable[[str], bool]) -> str | None:
    directory, name = os.path.split(target)
    descriptor, beside = tempfile.mkstemp(prefix=f".{name}.", suffix=".credhelper", dir=directory)  # 0600
    try:
        _fill(descriptor, content)
        if file.exists:
            _same_owner_and_mode(beside, os.stat(target))
        if not reads(beside):
            wrong = "would be a file that botocore does not read, with credhelper's profiles in it"
            raise ConfigError(f"'{file.path}' {wrong}", "nothing was changed")
        if _content(target) != (file.text if file.exists else None):
            raise ConfigError(f"'{file.path}' has just been changed by another program", "try again")
        kept = _back_up(file)
        os.replace(beside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
    _sync_directory(directory)
    return kept


def _fill(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _same_owner_and_mode(path: str, status: os.stat_result) -> None:
    if sys.platform != "win32" and os.stat(path).st_gid != status.st_gid:
        os.chown(path, -1, status.st_gid)
    os.chmod(path, stat.S_IMODE(status.st_mode))


def _sync_directory(directory: str) -> None:
    """Let the new name outlive a power cut, where the filesystem can do that."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def reads_config(path: str) -> bool:
    """Whether botocore reads the file: one that it refuses breaks every profile in it."""
    # A twentieth of botocore, imported where it is needed: the rest takes 0.4 s.
    from botocore.configloader import load_config
    from botocore.exceptions import BotoCoreError

    try:
        load_config(path)
    except BotoCoreError:
        return False
    return True


def difference(file: IniFile, content: bytes) -> str:
    """The lines that go and the lines that come, as `diff -U0` prints them; empty if nothing changes.

    No value that credhelper did not write is shown: the file may hold secrets, and terminals keep output.
    """
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (file.text, content))
    was = file.path if file.exists else "/dev/null"
    lines = [*difflib.unified_diff(before, after, was, file.path, n=0, lineterm="")]
    shown = [*lines[:2], *map(_without_foreign_value, lines[2:])]
    return "".join(printable(line) + "\n" for line in shown)


def _without_foreign_value(line: str) -> str:
    if not line.startswith("-") or re.match(_OURS, line):
        return line
    key = re.match(r"-[^=:]*[=:]", line)
    return f"{key[0] if key else '-'} ..."
