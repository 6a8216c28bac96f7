"""The marked block: text in, text out.

Nothing outside the block changes, and taking the block out gives back the bytes that were there before it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.awsconfig.ini import BYTE_ORDER_MARK, sections
from credhelper.config import keys
from credhelper.config.aws_names import REGION
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from credhelper.awsconfig.ini import IniFile

BEGIN: Final = b"# BEGIN credhelper"
END: Final = b"# END credhelper"
ABOUT: Final = (
    "# 'credhelper setup' writes what stands here, replaces it, and takes it out again with --remove.\n"
    "# Lines of your own belong above BEGIN or below END."
)
NAME: Final = rf"{keys.NAME}(?:@{keys.NAME})?"


@dataclass(frozen=True)
class Entry:
    """One profile of the block: its name in ~/.aws/config, what it runs, and the region, if any."""

    name: str
    command: str
    region: str | None = None


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
        for section in sections(file.text[block.begin : block.end])
        if section.is_profile
    )
    return tuple(entry for entry in found if not _problem(entry))


def has_block(file: IniFile) -> bool:
    """Whether there is one. Raises ConfigError: unpaired marks."""
    return _find(file) is not None


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
            raise file.error_at(marks[0].line, wrong, hint)
        if mark.word != wanted and mark.word == END:
            wrong = f"'{END.decode()}' has no '{BEGIN.decode()}' above it"
            raise file.error_at(mark.line, wrong, "delete that line")
        if mark.word != wanted:
            wrong = f"a second '{BEGIN.decode()}': the first is in line {marks[0].line}"
            raise file.error_at(mark.line, wrong, "delete one of the two blocks, with both of its marks")
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
            raise file.error_at(number, wrong, "remove the spaces before the '['")
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
    if entry.region is not None and not re.fullmatch(REGION, entry.region):
        return f"'{entry.region}' is not a region"
    return None


def _check_names(file: IniFile, block: _Block | None, names: Collection[str]) -> None:
    for section in sections(file.text):
        inside = block is not None and block.first < section.line < block.last
        if not inside and section.is_profile and section.name in names:
            raise file.error_at(
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
