"""Tables and progress for people: as wide as the terminal, coloured only there. NO_COLOR counts.

FORCE_COLOR, which CI systems set, does not: what a program reads has no colours.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

NARROWEST: Final = 80
WIDE: Final = 120
WORD_WIDTH: Final = 8
WIDEST_SHARE: Final = 40
"""Characters beyond which a longer cell gets no more of the room."""
PIPE_WIDTH: Final = 1000
"""Nothing is folded for a program that looks for a name."""


@dataclass(frozen=True)
class Row:
    """The cells of a row, None for an empty one, and rich's name of a style for all of it."""

    cells: Sequence[object]
    style: str = ""


def pairs(*lines: tuple[str, object]) -> str:
    """A line each of a word and what there is to say to it; None and '' have no line."""
    said = [(word, printable(str(text))) for word, text in lines if text not in (None, "")]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(min_width=WORD_WIDTH, no_wrap=True)
    table.add_column(overflow="fold", no_wrap=not _on_terminal())
    for word, text in said:
        table.add_row(word, Text(text))
    return _print(table) if said else ""


def render(
    columns: Mapping[str, int | None],
    rows: Iterable[Row],
    *,
    longest: int | None = None,
    color: bool | None = None,
) -> str:
    """The rows under their headings; a column has so many characters, or its share of what is left.

    Whatever a cell quotes, it becomes printable ASCII here; one of more than `longest` characters is cut off.
    `color` stands for what the terminal, or a pipe, would have said.
    """
    fitted = _on_terminal()
    limit = {} if longest is None else {"limit": longest}
    table = Table(box=None, pad_edge=False, expand=fitted)
    texts = [
        ([printable("-" if cell in (None, "") else str(cell), **limit) for cell in row.cells], row.style)
        for row in rows
    ]
    for number, (name, width) in enumerate(columns.items()):
        if fitted:
            longest_cell = max(len(name), *(len(cells[number]) for cells, _ in texts), 1)
            share = None if width else min(longest_cell, WIDEST_SHARE)
            table.add_column(name, overflow="fold", width=width, ratio=share)
        else:
            table.add_column(name, no_wrap=True)
    for cells, style in texts:
        table.add_row(*map(Text, cells), style=style)
    return _print(table, more=len(columns) * (longest or 0), color=color)


def is_wide() -> bool:
    """Whether there is room for columns that 80 characters have none for."""
    return not _on_terminal() or Console().width >= WIDE


def _on_terminal() -> bool:
    return Console().file.isatty()


def _print(table: Table, *, more: int = 0, color: bool | None = None) -> str:
    terminal, out, fitted = Console(), io.StringIO(), _on_terminal()
    width = max(terminal.width, NARROWEST) if fitted else PIPE_WIDTH + more
    styled = fitted if color is None else color
    plain = not styled or (color is None and terminal.no_color)
    Console(file=out, width=width, force_terminal=styled, no_color=plain).print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


class Bar:
    """A progress bar on stderr, for as long as the block lasts; nothing at all where it is not `shown`."""

    def __init__(self, title: str, total: int, *, shown: bool) -> None:
        from rich import progress

        console = Console(stderr=True)
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(None),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[failed]}{task.fields[stopping]}", markup=False),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not shown or console.is_dumb_terminal,
        )
        self._task = self._progress.add_task(printable(title, 30), total=total, failed="", stopping="")

    def __enter__(self) -> Bar:  # noqa: PYI034 - Python 3.10 has no Self
        """Show it."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._progress.stop()

    @contextlib.contextmanager
    def aside(self, *, hidden: bool) -> Iterator[None]:
        """Hide it for the block, where something else is written to the same terminal."""
        if not hidden:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def update(self, done: int, failed: int) -> None:
        """Say how many are done, and how many of them have failed."""
        self._progress.update(self._task, completed=done, failed=f"{failed} failed " if failed else "")

    def stopping(self) -> None:
        """Say, from any thread, that it is coming to an end."""
        self._progress.update(self._task, stopping="stopping ")
