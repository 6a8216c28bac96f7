"""The marked block in ~/.aws/config: profiles that run credhelper, between two comments that it owns.

Text in, text out, and one function that puts the text into the file's place. Nothing outside the block
changes, and taking the block out gives back the bytes that were there before it.

Then what has to be known before writing: a command that all SDKs run alike, a program that an upgrade
leaves where it is, and the neighbours that would win over us. What SDKs do was measured with botocore
1.44.5, AWS CLI 2.9.19, awscrt 0.38.1, the JavaScript SDK's loader and rclone 1.60.1 (the SDK for Go v1), or
read in the sources of those named.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from credhelper import awsfiles, paths, vocabulary
from credhelper.errors import ConfigError, CredhelperError
from credhelper.tomlfile import lower_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

BEGIN: Final = b"# BEGIN credhelper"
END: Final = b"# END credhelper"
ABOUT: Final = (
    "# 'credhelper setup' writes what stands here, replaces it, and takes it out again with --remove.\n"
    "# Lines of your own belong above BEGIN or below END."
)
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
NAME: Final = rf"{vocabulary.NAME}(?:@{vocabulary.NAME})?"
BACKUP: Final = ".credhelper-backup"
WINDOWS: Final = sys.platform == "win32"


@dataclass(frozen=True)
class Entry:
    """One profile of the block: its name in ~/.aws/config, what it runs, and the region, if any."""

    name: str
    command: str
    region: str | None = None


@dataclass(frozen=True)
class IniFile:
    """~/.aws/config or ~/.aws/credentials as it was when it was read. One that does not exist is empty."""

    path: str
    text: bytes = field(repr=False)
    exists: bool = True

    def complaint(self, line: int, problem: str, *hints: str) -> ConfigError:
        """An error with its place."""
        return ConfigError(f"'{self.path}' line {line}: {problem}", *hints)


# ---- The block ------------------------------------------------------------------------------------------


def with_block(file: IniFile, entries: Sequence[Entry]) -> bytes:
    """The file's text with these entries, and no others, in the block. Without entries, without the block.

    Raises ConfigError: a profile of that name stands outside the block (botocore refuses a file with a second
    one), the block's marks do not pair, an entry that would break the file, or a byte order mark.
    """
    if not entries:
        return without_block(file)
    _check_entries(entries)
    if file.text.startswith(BYTE_ORDER_MARK):
        wrong = "begins with a byte order mark, and neither boto3 nor the AWS CLI reads such a file"
        raise ConfigError(f"'{file.path}' {wrong}", "save it as UTF-8 without the mark")
    block = _find(file)
    _check_names(file, block, {entry.name for entry in entries})
    newline = _newline(file.text)
    content = _render(entries, newline)
    if block is not None:
        return file.text[: block.begin] + content + file.text[block.end :]
    # One line end stands between the text and the block: it is the block's, and leaves with it.
    between = b"\r\n" if file.text.endswith(b"\r") else newline
    return file.text + (between if file.text else b"") + content


def without_block(file: IniFile) -> bytes:
    """The file's text as it would be had there never been a block. Raises ConfigError: unpaired marks."""
    block = _find(file)
    if block is None:
        return file.text
    before, after = file.text[: block.begin], file.text[block.end :]
    kept = before[: -2 if before.endswith(b"\r\n") else -1] if before.endswith(b"\n") else before
    # What was added below must not end up on the last line of what stands above.
    return (before if after and kept and not kept.endswith((b"\n", b"\r")) else kept) + after


def block_entries(file: IniFile) -> tuple[Entry, ...]:
    """The entries that the block holds. Raises ConfigError: unpaired marks."""
    block = _find(file)
    if block is None:
        return ()
    found = (
        Entry(section.name, section.value("credential_process"), section.value("region") or None)
        for section in _sections(file.text[block.begin : block.end])
        if section.is_profile
    )
    return tuple(entry for entry in found if not _problem(entry))


def is_edited(file: IniFile) -> bool:
    """Whether the block holds what this program would not have written. Raises ConfigError: unpaired marks.

    Another command or region is no such thing: an earlier setup may have written it.
    """
    block = _find(file)
    written = _render(block_entries(file), _newline(file.text))
    return block is not None and file.text[block.begin : block.end].rstrip(b"\r\n") != written.rstrip(b"\r\n")


@dataclass(frozen=True)
class _Block:
    """Offsets of its first byte and of the one after it; the lines of its marks, counted from 1."""

    begin: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class _Mark:
    word: bytes
    line: int
    begin: int
    end: int


def _find(file: IniFile) -> _Block | None:
    marks = list(_marks(file.text))
    for mark, wanted in itertools.zip_longest(marks, (BEGIN, END) if marks else ()):
        if mark is None:
            wrong = f"'{BEGIN.decode()}' has no '{END.decode()}' below it"
            hint = "put that line below the last profile of credhelper's"
            raise file.complaint(marks[0].line, wrong, hint)
        if mark.word != wanted and mark.word == END:
            wrong = f"'{END.decode()}' has no '{BEGIN.decode()}' above it"
            raise file.complaint(mark.line, wrong, "delete that line")
        if mark.word != wanted:
            wrong = f"a second '{BEGIN.decode()}': the first is in line {marks[0].line}"
            raise file.complaint(mark.line, wrong, "delete one of the two blocks, with both of its marks")
    if not marks:
        return None
    begin, end = marks
    return _Block(begin.begin, _end(file, end), begin.line, end.line)


def _marks(text: bytes) -> Iterator[_Mark]:
    offset = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        lead = len(BYTE_ORDER_MARK) if not offset and line.startswith(BYTE_ORDER_MARK) else 0
        word = line[lead:].strip()
        if word in (BEGIN, END):
            yield _Mark(word, number, offset + lead, offset + len(line))
        offset += len(line)


def _end(file: IniFile, mark: _Mark) -> int:
    """The offset at which the block ends: below END, but for the keys that somebody has put there.

    `aws configure set` writes those of the block's last profile below END. They are not of the text around.
    """
    end = offset = mark.end
    for number, line in enumerate(file.text[mark.end :].splitlines(keepends=True), mark.line + 1):
        if line.startswith(b"["):
            break
        if line.lstrip().startswith(b"["):
            wrong = "is indented, so that it continues the profile above it"
            raise file.complaint(number, wrong, "remove the spaces before the '['")
        offset += len(line)
        if line.strip() and not line.lstrip().startswith((b"#", b";")):
            end = offset
    return end


def _check_entries(entries: Sequence[Entry]) -> None:
    names: set[str] = set()
    for entry in entries:
        if wrong := _problem(entry):
            raise ConfigError(wrong)
        if entry.name in names:
            raise ConfigError(f"profile '{entry.name}' would be written twice")
        names.add(entry.name)


def _problem(entry: Entry) -> str | None:
    """Why the file would not say what the entry does."""
    if not re.fullmatch(NAME, entry.name):
        return f"'{entry.name}' cannot be the name of a profile in ~/.aws/config"
    if not entry.command.strip() or not entry.command.isprintable():
        return f"'{entry.command}' cannot be the command of profile '{entry.name}'"
    if entry.region is not None and not re.fullmatch(vocabulary.REGION, entry.region):
        return f"'{entry.region}' is not a region"
    return None


def _check_names(file: IniFile, block: _Block | None, names: Collection[str]) -> None:
    for section in _sections(file.text):
        inside = block is not None and block.first < section.line < block.last
        if not inside and section.is_profile and section.name in names:
            raise file.complaint(
                section.line,
                f"profile '{section.name}' is there already, and not written by credhelper",
                "rename or remove it, or write credhelper's profiles under other names with --prefix",
            )


def _newline(text: bytes) -> bytes:
    """The line end that the text uses: that of its first line."""
    first = re.search(rb"\r\n|\n|\r\Z", text)
    return b"\n" if first is None or first[0] == b"\n" else b"\r\n"


def _render(entries: Iterable[Entry], newline: bytes) -> bytes:
    sections = "\n\n".join(map(_section, entries))
    lines = f"{BEGIN.decode()}\n{ABOUT}\n{sections}\n{END.decode()}\n"
    return lines.encode().replace(b"\n", newline)


def _section(entry: Entry) -> str:
    header = entry.name if entry.name == "default" else f"profile {entry.name}"
    region = f"\nregion = {entry.region}" if entry.region else ""
    return f"[{header}]\ncredential_process = {entry.command}{region}"


@dataclass(frozen=True)
class _Section:
    """A section: its line, `profile` and such (or ''), its name, and each key with its value and line."""

    line: int
    kind: str
    name: str
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_profile(self) -> bool:
        """Whether it is a profile of ~/.aws/config. To botocore, any kind that begins so makes one."""
        return self.kind.startswith("profile") or (self.kind, self.name) == ("", "default")

    def value(self, key: str) -> str:
        """A key's value, '' where it is not set."""
        return self.keys.get(key, ("", 0))[0]


def _sections(text: bytes) -> list[_Section]:
    """The sections of a file, broken ones included: whatever some SDK could take for one."""
    sections: list[_Section] = []
    for number, line in enumerate(text.removeprefix(BYTE_ORDER_MARK).splitlines(), 1):
        stripped = line.decode("utf-8", "replace").strip()
        if stripped.startswith("["):
            kind, name = _header(stripped)
            sections.append(_Section(number, kind, name))
        elif sections and (assignment := re.match(r"([^#;=:][^=:]*?)\s*[=:]\s*(.*)", stripped)):
            sections[-1].keys.setdefault(assignment[1].lower(), (assignment[2], number))
    return sections


def _header(line: str) -> tuple[str, str]:
    """`[profile "a"]` as its kind and its name; `[a]` has no kind."""
    inside = line[1:].partition("]")[0]
    try:
        words = shlex.split(inside)
    except ValueError:  # botocore passes over such a section, but others do not
        words = inside.split()
    return ("", "".join(words)) if len(words) < 2 else (words[0], " ".join(words[1:]))


# ---- The file -------------------------------------------------------------------------------------------


def read(path: str) -> IniFile:
    """The file as it is. Raises ConfigError: it is no file, or cannot be read."""
    try:
        text = _content(path)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {_reason(error)}") from None
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
        raise CredhelperError(f"cannot write '{file.path}': {_reason(error)}") from None


def _back_up(file: IniFile) -> str | None:
    """Keep what the file held beside it, 0600. An older copy of other content is never written over."""
    if not file.text or (_find(file) is not None and not is_edited(file)):
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
        awsfiles.read({"AWS_CONFIG_FILE": file.path, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
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


def _reason(error: OSError) -> str:
    return lower_first(error.strerror or "unknown error")


# ---- The command ----------------------------------------------------------------------------------------

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
    """Whether its path outlives an upgrade: it is in no virtual environment, Cellar or Nix store."""
    above = os.path.dirname(os.path.dirname(program))
    in_environment = os.path.exists(os.path.join(above, "pyvenv.cfg"))
    return not in_environment and not re.search(r"/Cellar/|^/nix/store/", program)


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


# ---- The neighbours -------------------------------------------------------------------------------------

_IN_CONFIG: Final = {
    "aws_access_key_id": "wins over credhelper in most SDKs, not in boto3 and the AWS CLI",
    "role_arn": "is used instead of credhelper by some SDKs, and makes others fail",
    "web_identity_token_file": "wins over credhelper in every SDK",
    "sso_account_id": "wins over credhelper in boto3, the AWS CLI and others",
    "sso_role_name": "wins over credhelper in boto3, the AWS CLI and others",
    "login_session": "wins over credhelper in boto3 and the AWS CLI",
}
_IN_CREDENTIALS: Final = {
    **_IN_CONFIG,
    "aws_access_key_id": "wins over credhelper in every SDK",
    "credential_process": "wins over the one in the config file in every SDK",
}
_IN_ENVIRONMENT: Final = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")


@dataclass(frozen=True)
class Neighbour:
    """Something that an SDK would use instead of us: a sentence with its place, and what to do about it."""

    sentence: str
    hint: str
    path: str | None = None
    line: int | None = None


def neighbours(
    config: IniFile, credentials: IniFile, names: Collection[str], environ: Mapping[str, str]
) -> list[Neighbour]:
    """What would win over credhelper in the profiles `names` of ~/.aws/config, in some SDK or in all."""
    found: list[Neighbour] = []
    for section in _sections(config.text):
        if section.is_profile and section.name in names:
            found += _rivals(config, section, _IN_CONFIG)
        elif not section.kind and section.name in names:
            wrong = f"[{section.name}] without 'profile' wins over credhelper in older SDKs, such as Go v1"
            found.append(_neighbour(config, section.line, wrong, "remove it"))
    for section in _sections(credentials.text):
        if not section.kind and section.name in names:
            found += _rivals(credentials, section, _IN_CREDENTIALS)
    found += [
        Neighbour(
            f"the SDKs for JavaScript, Rust and C++ do not find profile '{name}': its name has a '='",
            "give it another name",
        )
        for name in names
        if "=" in name
    ]
    found += [
        Neighbour(
            f"{variable} is set, and wins over credhelper in most SDKs where AWS_PROFILE names the profile",
            f"unset {variable}",
        )
        for variable in _IN_ENVIRONMENT
        if environ.get(variable)
    ]
    return found


def _rivals(file: IniFile, section: _Section, known: Mapping[str, str]) -> Iterator[Neighbour]:
    for key, (_, line) in section.keys.items():
        if key in known:
            wrong = f"'{key}' of profile '{section.name}' {known[key]}"
            yield _neighbour(file, line, wrong, "remove it, or let credhelper's profile have another name")


def _neighbour(file: IniFile, line: int, wrong: str, hint: str) -> Neighbour:
    return Neighbour(f"'{file.path}' line {line}: {wrong}", hint, file.path, line)
