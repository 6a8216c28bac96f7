"""Tables for people: as wide as the terminal, coloured only there, plain in a pipe. NO_COLOR counts.

FORCE_COLOR, which CI systems set, does not: what a program reads has no colours.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NARROWEST: Final = 80
WIDE: Final = 120
WORD_WIDTH: Final = 8
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


def render(columns: Mapping[str, int | None], rows: Iterable[Row]) -> str:
    """The rows under their headings; a column has so many characters, or its share of what is left.

    Whatever a cell quotes, it becomes printable ASCII here.
    """
    fitted = _on_terminal()
    table = Table(box=None, pad_edge=False, expand=fitted)
    for name, width in columns.items():
        if fitted:
            table.add_column(name, overflow="fold", width=width, ratio=None if width else 1)
        else:
            table.add_column(name, no_wrap=True)
    for row in rows:
        cells = (Text(printable("-" if cell in (None, "") else str(cell))) for cell in row.cells)
        table.add_row(*cells, style=row.style)
    return _print(table)


def is_wide() -> bool:
    """Whether there is room for columns that 80 characters have none for."""
    return not _on_terminal() or Console().width >= WIDE


def _on_terminal() -> bool:
    return Console().file.isatty()


def _print(table: Table) -> str:
    terminal, out, fitted = Console(), io.StringIO(), _on_terminal()
    width = max(terminal.width, NARROWEST) if fitted else PIPE_WIDTH
    console = Console(file=out, width=width, force_terminal=fitted, no_color=terminal.no_color or not fitted)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())
