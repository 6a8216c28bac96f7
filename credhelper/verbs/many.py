"""Results that come one by one: a line of JSON each on stdout, a bar where stderr is a terminal, the end."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from credhelper.errors import CredhelperError
from credhelper.verbs import emit

if TYPE_CHECKING:
    from collections.abc import Generator

    from credhelper.sweep import Stop

    class Result(Protocol):
        """What came of one of them."""

        @property
        def failed(self) -> bool:
            """Whether that is nothing good."""

        def to_json(self) -> bytes:
            """Its line."""

    class Errand(Protocol):
        """What is done for each: it may be stopped, or turn out to be hopeless for all that are left."""

        stop: Stop
        hopeless: CredhelperError | None


@dataclass(frozen=True)
class Crowd:
    """How many there are of what ('accounts'); `hint` is where a line says what went wrong."""

    title: str
    count: int
    what: str
    hint: str


def tell(crowd: Crowd, errand: Errand, results: Generator[Result, None, None]) -> None:
    """Print each result as it comes. Raises CredhelperError where one has failed, or not all have come."""
    from credhelper.tables import Bar

    done = failed = 0
    with (
        Bar(crowd.title, crowd.count, shown=os.isatty(2)) as bar,
        errand.stop.on_signals(bar.stopping),
        contextlib.closing(results),
    ):
        for result in results:
            done, failed = done + 1, failed + result.failed
            with bar.aside(hidden=os.isatty(1)):
                emit(result.to_json())
            bar.update(done, failed)
    if errand.stop.event.is_set() and (failed or done < crowd.count):
        raise CredhelperError(f"interrupted after {done} of {crowd.count} {crowd.what}")
    if errand.hopeless:
        raise errand.hopeless
    if failed:
        raise CredhelperError(f"{failed} of {crowd.count} {crowd.what} failed", crowd.hint)
