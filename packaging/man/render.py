"""Writes the man page from --help: `make man` updates credhelper.1.

click-man writes a page for each command, all of them with the forty flags of a profile, and does not escape
text: roff drops a line that begins with a dot. This page lists these flags once.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from credhelper import __version__
from credhelper.cli import main
from credhelper.cli.options import ENVIRONMENT, EXIT_STATUSES, PROGRAM, files
from credhelper.config import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "packaging/man/credhelper.1"


def page() -> str:
    """The whole page."""
    ctx = click.Context(main.program, info_name=PROGRAM)
    lines = [
        f'.TH CREDHELPER 1 "{_date()}" "credhelper {__version__}" "User Commands"',
        *_section("NAME", [rf"{PROGRAM} \- {_escape(_tagline())}"]),
        *_section("SYNOPSIS", [rf"\fB{PROGRAM}\fR \fICOMMAND\fR [\fIARGUMENT\fR]..."]),
        *_section("DESCRIPTION", _prose(main.program.help or "")),
    ]
    for heading, verbs in main.SECTIONS.items():
        commands = [(verb, main.program.get_command(ctx, verb)) for verb in verbs]
        found = [line for verb, command in commands if command for line in _command(ctx, verb, command)]
        lines += _section(f"COMMANDS: {heading}".upper(), found) if found else []
    lines += _section("FLAGS OF A PROFILE", _keys(ctx))
    statuses = re.findall(r"^ +([0-9])  (.+)", EXIT_STATUSES, re.MULTILINE)
    lines += _section("EXIT STATUS", _definitions(statuses))
    lines += _section("ENVIRONMENT", _definitions(ENVIRONMENT.items()))
    lines += _section("FILES", _definitions(_files()))
    lines += _section("SEE ALSO", [r"\fBaws\fR(1), \fBssh\-agent\fR(1)"])
    return "\n".join(lines) + "\n"


def _date() -> str:
    """The date of this version, so that the page does not depend on the day it is written."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## \[{re.escape(__version__)}\] - (\S+)", changes, re.MULTILINE)
    return found[1] if found else ""


def _tagline() -> str:
    return (main.program.help or "").partition("\n")[0].rstrip(".")


def _files() -> Iterator[tuple[str, str]]:
    """The files, with their paths on Linux."""
    for path, meaning in files({}):
        name = Path(path).name
        place = "~/.config" if name == "config.toml" else "~/.local/state"
        yield f"{place}/{PROGRAM}/{name}", meaning


def _section(heading: str, lines: list[str]) -> list[str]:
    return [f".SH {_escape(heading)}", *lines]


def _command(parent: click.Context, verb: str, command: click.Command) -> Iterator[str]:
    """A command: usage, description and flags; then its subcommands."""
    ctx = click.Context(command, info_name=verb, parent=parent)
    yield rf".SS {_escape(ctx.command_path)} {_synopsis(ctx)}".rstrip()
    yield from _prose(command.help or "")
    yield from _definitions(pair for option in _own(command) if (pair := option.get_help_record(ctx)))
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            if found is not None and not found.hidden:
                yield from _command(ctx, name, found)


def _own(command: click.Command) -> list[click.Parameter]:
    """The flags of a command, without --help and the flags of a profile."""
    elsewhere = ("help", *(keys.BY_NAME if _takes_profile_flags(command) else ()))
    options = [option for option in command.params if isinstance(option, click.Option)]
    return [option for option in options if option.name not in elsewhere]


def _takes_profile_flags(command: click.Command) -> bool:
    """Whether it has all of them; assume-root and assume-role use some of the names for other flags."""
    return set(keys.BY_NAME) <= {option.name for option in command.params}


def _synopsis(ctx: click.Context) -> str:
    words = ctx.command.collect_usage_pieces(ctx)
    return _escape(" ".join([*words, *(["[PROFILE FLAGS]"] if _takes_profile_flags(ctx.command) else [])]))


def _keys(ctx: click.Context) -> list[str]:
    """The flags of a profile, once for all commands that take them."""
    get = main.program.get_command(ctx, "get")
    options = [option for option in (get.params if get else ()) if option.name in keys.BY_NAME]
    said = _prose("Every key of a profile in config.toml is also a flag of the commands that use a profile.")
    return [*said, *_definitions(pair for option in options if (pair := option.get_help_record(ctx)))]


def _definitions(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [line for term, text in pairs for line in (".TP", rf"\fB{_escape(term)}\fR", *_wrapped(text))]


def _prose(text: str) -> list[str]:
    r"""Paragraphs; one that begins with \b keeps its lines."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        kept = "\b" in paragraph
        rows = [row for row in paragraph.replace("\b", "").split("\n") if row.strip()]
        indent = min((len(row) - len(row.lstrip()) for row in rows), default=0)
        if kept:
            lines += [".PP", ".nf", *(_escape(row[indent:]) for row in rows), ".fi"]
        else:
            lines += [".PP", *_wrapped(" ".join(row.strip() for row in rows))]
    return lines[1:]  # a heading begins a paragraph


def _wrapped(text: str) -> list[str]:
    """Short lines; roff fills them again."""
    return [_escape(line) for line in textwrap.wrap(text, 72, break_long_words=False, break_on_hyphens=False)]


def _escape(text: str) -> str:
    """Text without roff syntax."""
    escaped = text.replace("\\", r"\(rs").replace("-", r"\-").replace("'", r"\(aq")
    escaped = escaped.replace("~", r"\(ti").replace("^", r"\(ha").replace("`", r"\(ga")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    sys.stdout.write(page())
