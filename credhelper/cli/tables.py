"""Tables and a progress bar: as wide as the terminal, and coloured only there, unless NO_COLOR is set.

FORCE_COLOR, which CI systems set, is ignored: output for programs has no colours.
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
"""The longest cell that widens its column."""
PIPE_WIDTH: Final = 1000
"""Output for programs is not folded."""


@dataclass(frozen=True)
class Row:
    """The cells of a row, None for an empty one, and rich's name of a style for all of it."""

    cells: Sequence[object]
    style: str = ""


def pairs(*lines: tuple[str, object]) -> str:
    """Lines of a label and a text; a text of None or '' has no line."""
    shown = [(word, printable(str(text))) for word, text in lines if text not in (None, "")]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(min_width=WORD_WIDTH, no_wrap=True)
    table.add_column(overflow="fold", no_wrap=not _on_terminal())
    for word, text in shown:
        table.add_row(word, Text(text))
    return _print(table) if shown else ""


def render(
    columns: Mapping[str, int | None],
    rows: Iterable[Row],
    *,
    longest: int | None = None,
    color: bool | None = None,
) -> str:
    """A table; `columns` maps headings to fixed widths, or to None for a share of the remaining width.

    Cells become printable ASCII here, cut off after `longest` characters. `color` overrides the default:
    colours on a terminal only.
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
    """Whether optional columns fit: on wide terminals, and in pipes."""
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
    """A progress bar on stderr for the duration of a `with` block, if it is `shown`."""

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
        """Hide the bar in the block, while other output goes to the same terminal."""
        if not hidden:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def update(self, done: int, failed: int) -> None:
        """Show how many are done, and how many of them have failed."""
        self._progress.update(self._task, completed=done, failed=f"{failed} failed " if failed else "")

    def stopping(self) -> None:
        """Show that the batch is ending early; called from any thread."""
        self._progress.update(self._task, stopping="stopping ")
