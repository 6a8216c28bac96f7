"""The block of profiles that credhelper owns in ~/.aws/config: text in, text out.

Nothing outside the block changes; removing it gives back the bytes that were there before it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
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
    "# 'credhelper setup' writes and replaces this block, 'credhelper setup --remove' removes it.\n"
    "# Put your own lines above BEGIN or below END."
)
NAME: Final = rf"{keys.NAME}(?:@{keys.NAME})?"


@dataclass(frozen=True)
class Entry:
    """One profile of the block: its name in ~/.aws/config, its command, and its region, if any."""

    name: str
    command: str
    region: str | None = None


def with_block(file: IniFile, entries: Sequence[Entry]) -> bytes:
    """The file's text with exactly these entries in the block; without entries there is no block.

    Raises ConfigError: a profile of that name exists outside the block (botocore refuses a file with two of
    them), the block's marks do not pair, an entry would break the file, or the file has a byte order mark.
    """
    if not entries:
        return without_block(file)
    _check_entries(entries)
    if file.text.startswith(BYTE_ORDER_MARK):
        problem = "begins with a byte order mark, and neither boto3 nor the AWS CLI reads such a file"
        raise ConfigError(f"'{file.path}' {problem}", "save it as UTF-8 without the mark")
    block = _find(file)
    _check_names(file, block, {entry.name for entry in entries})
    newline = _newline(file.text)
    content = _render(entries, newline)
    if block is not None:
        return file.text[: block[0].begin] + content + file.text[block[1].end :]
    # The line end between the text and the block belongs to the block, and goes with it.
    between = b"\r\n" if file.text.endswith(b"\r") else newline
    return file.text + (between if file.text else b"") + content


def without_block(file: IniFile) -> bytes:
    """The file's text as if there had never been a block. Raises ConfigError: unpaired marks."""
    block = _find(file)
    if block is None:
        return file.text
    before, after = file.text[: block[0].begin], file.text[block[1].end :]
    kept = before[: -2 if before.endswith(b"\r\n") else -1] if before.endswith(b"\n") else before
    # Text that was added below the block must not join the last line above it.
    return (before if after and kept and not kept.endswith((b"\n", b"\r")) else kept) + after


def block_entries(file: IniFile) -> tuple[Entry, ...]:
    """The entries of the block. Raises ConfigError: unpaired marks."""
    block = _find(file)
    if block is None:
        return ()
    found = (
        Entry(section.name, section.value("credential_process"), section.value("region") or None)
        for section in sections(_text(file, block))
        if section.is_profile
    )
    return tuple(entry for entry in found if not _problem(entry))


def is_edited(file: IniFile) -> bool:
    """Whether the block has text that credhelper would not have written. Raises ConfigError: unpaired marks.

    A different command or region does not count: an earlier setup may have written it.
    """
    block = _find(file)
    written = _render(block_entries(file), _newline(file.text))
    return block is not None and _text(file, block).rstrip(b"\r\n") != written.rstrip(b"\r\n")


def _text(file: IniFile, block: tuple[_Mark, _Mark]) -> bytes:
    return file.text[block[0].begin : block[1].end]


@dataclass(frozen=True)
class _Mark:
    """The first or last line of the block: its number, its offset, and the offset of the text after it."""

    word: bytes
    line: int
    begin: int
    end: int


def _find(file: IniFile) -> tuple[_Mark, _Mark] | None:
    """The marks of the block; the last one ends where the block does. Raises ConfigError: unpaired marks."""
    marks = list(_marks(file.text))
    if not marks:
        return None
    for mark, wanted in itertools.zip_longest(marks, (BEGIN, END)):
        if mark is None:
            problem = f"'{BEGIN.decode()}' has no '{END.decode()}' below it"
            raise file.error_at(marks[0].line, problem, "put that line below credhelper's last profile")
        if mark.word != wanted and mark.word == END:
            problem = f"'{END.decode()}' has no '{BEGIN.decode()}' above it"
            raise file.error_at(mark.line, problem, "delete that line")
        if mark.word != wanted:
            problem = f"a second '{BEGIN.decode()}': the first is in line {marks[0].line}"
            raise file.error_at(mark.line, problem, "delete one of the two blocks, with both of its marks")
    first, last = marks
    return first, replace(last, end=_end(file, last))


def _marks(text: bytes) -> Iterator[_Mark]:
    offset = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        lead = len(BYTE_ORDER_MARK) if not offset and line.startswith(BYTE_ORDER_MARK) else 0
        word = line[lead:].strip()
        if word in (BEGIN, END):
            yield _Mark(word, number, offset + lead, offset + len(line))
        offset += len(line)


def _end(file: IniFile, mark: _Mark) -> int:
    """The offset at which the block ends: after END and the keys below it.

    `aws configure set` writes keys of the block's last profile below END.
    """
    end = offset = mark.end
    for number, line in enumerate(file.text[mark.end :].splitlines(keepends=True), mark.line + 1):
        if line.startswith(b"["):
            break
        if line.lstrip().startswith(b"["):
            problem = "is indented, so that it continues the profile above it"
            raise file.error_at(number, problem, "remove the spaces before the '['")
        offset += len(line)
        if line.strip() and not line.lstrip().startswith((b"#", b";")):
            end = offset
    return end


def _check_entries(entries: Sequence[Entry]) -> None:
    names: set[str] = set()
    for entry in entries:
        if problem := _problem(entry):
            raise ConfigError(problem)
        if entry.name in names:
            raise ConfigError(f"profile '{entry.name}' would be written twice")
        names.add(entry.name)


def _problem(entry: Entry) -> str | None:
    """Why an entry cannot be written; None where it can."""
    if not re.fullmatch(NAME, entry.name):
        return f"'{entry.name}' cannot be the name of a profile in ~/.aws/config"
    if not entry.command.strip() or not entry.command.isprintable():
        return f"'{entry.command}' cannot be the command of profile '{entry.name}'"
    if entry.region is not None and not re.fullmatch(REGION, entry.region):
        return f"'{entry.region}' is not a region"
    return None


def _check_names(file: IniFile, block: tuple[_Mark, _Mark] | None, names: Collection[str]) -> None:
    for section in sections(file.text):
        inside = block is not None and block[0].line < section.line < block[1].line
        if not inside and section.is_profile and section.name in names:
            raise file.error_at(
                section.line,
                f"profile '{section.name}' exists already, and credhelper has not written it",
                "rename or remove it, or name credhelper's profiles differently with --prefix",
            )


def _newline(text: bytes) -> bytes:
    """The line end of the text's first line."""
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
