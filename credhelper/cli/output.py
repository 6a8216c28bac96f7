"""Write to stdout: an answer in one write, or the results of a batch, with a progress bar on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.errors import ConfigError, CredhelperError, os_reason

if TYPE_CHECKING:
    from collections.abc import Generator

    from credhelper.run.batch import BatchResult, BatchRun

JOBS: Final = 8
"""How many items of a batch are processed at a time by default."""


def emit(content: bytes) -> None:
    """Write an answer to stdout, in one write: some SDKs append a reader's whole buffer to a short read."""
    try:
        while content:
            if sys.platform != "win32":
                select.select([], [1], [])  # a non-blocking pipe may be full
            content = content[os.write(1, content) :]
    except OSError as error:
        raise CredhelperError(f"cannot write the answer to stdout: {os_reason(error)}") from None


def emit_json(document: object) -> None:
    """Write an answer as one line of JSON."""
    emit(f"{json.dumps(document)}\n".encode())


def refuse_terminal(*, show: bool, use: str = "SDKs run this command through credential_process") -> None:
    """Raise ConfigError if stdout is a terminal, which keeps the secrets; `use` names the right use."""
    if os.isatty(1) and not show:
        raise ConfigError(
            "stdout is a terminal, and the answer is secret",
            f"{use}; to see it all the same, add --show",
        )


@dataclass(frozen=True)
class Batch:
    """A batch of `count` items, named `what` in messages; `hint` explains the lines of failed items."""

    title: str
    count: int
    what: str
    hint: str


def print_results(batch: Batch, run: BatchRun, results: Generator[BatchResult, None, None]) -> None:
    """Print each result when it is ready. Raises CredhelperError if an item failed or is missing."""
    from credhelper.cli.tables import Bar

    done = failed = 0
    with (
        Bar(batch.title, batch.count, shown=os.isatty(2)) as bar,
        run.stop.on_signals(bar.stopping),
        contextlib.closing(results),
    ):
        for result in results:
            done, failed = done + 1, failed + result.failed
            with bar.aside(hidden=os.isatty(1)):
                emit(result.to_json())
            bar.update(done, failed)
    if run.stop.event.is_set() and (failed or done < batch.count):
        raise CredhelperError(f"interrupted after {done} of {batch.count} {batch.what}")
    if run.failure:
        raise run.failure
    if failed:
        raise CredhelperError(f"{failed} of {batch.count} {batch.what} failed", batch.hint)
