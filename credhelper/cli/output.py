"""What commands print: one answer in one write, or results as they come with a progress bar."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from credhelper.errors import ConfigError, CredhelperError, os_reason

if TYPE_CHECKING:
    from collections.abc import Generator

    from credhelper.run.batch import BatchResult, BatchRun


def emit(content: bytes) -> None:
    """Write an answer to stdout, in one write: some SDKs append a reader's whole buffer to a short read."""
    try:
        while content:
            if sys.platform != "win32":
                select.select([], [1], [])  # a pipe that its owner has made non-blocking may be full
            content = content[os.write(1, content) :]
    except OSError as error:
        raise CredhelperError(f"cannot write the answer to stdout: {os_reason(error)}") from None


def refuse_terminal(*, show: bool, use: str = "SDKs run this command through credential_process") -> None:
    """Raise ConfigError where the answer would stay in a scrollback; `use` says how it is meant."""
    if os.isatty(1) and not show:
        raise ConfigError(
            "stdout is a terminal, and the answer is secret",
            f"{use}; to see it all the same, add --show",
        )


@dataclass(frozen=True)
class Crowd:
    """How many there are of what ('accounts'); `hint` is where a line says what went wrong."""

    title: str
    count: int
    what: str
    hint: str


def tell(crowd: Crowd, batch: BatchRun, results: Generator[BatchResult, None, None]) -> None:
    """Print each result as it comes. Raises CredhelperError where one has failed, or not all have come."""
    from credhelper.cli.tables import Bar

    done = failed = 0
    with (
        Bar(crowd.title, crowd.count, shown=os.isatty(2)) as bar,
        batch.stop.on_signals(bar.stopping),
        contextlib.closing(results),
    ):
        for result in results:
            done, failed = done + 1, failed + result.failed
            with bar.aside(hidden=os.isatty(1)):
                emit(result.to_json())
            bar.update(done, failed)
    if batch.stop.event.is_set() and (failed or done < crowd.count):
        raise CredhelperError(f"interrupted after {done} of {crowd.count} {crowd.what}")
    if batch.failure:
        raise batch.failure
    if failed:
        raise CredhelperError(f"{failed} of {crowd.count} {crowd.what} failed", crowd.hint)
