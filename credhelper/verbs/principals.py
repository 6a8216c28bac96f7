"""`--target-principal -`: a line of JSON each on stdout, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from credhelper import principals
from credhelper.errors import ConfigError, CredhelperError
from credhelper.verbs import emit
from credhelper.verbs.sweep import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.credentials import Credentials
    from credhelper.house import House
    from credhelper.oneoff import OneOff


def refuse(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for options that do not go with many principals."""
    if options["credential_stdin"]:
        raise ConfigError("'--credential-stdin' and '--target-principal -' both read stdin: give one")
    if options["output"] not in (None, "json", "response"):
        raise ConfigError(f"principals from stdin are answered in lines of JSON, not as {options['output']}")
    if options["refresh"]:
        raise ConfigError("'--refresh' does not go with principals from stdin, for whom all is minted")


def answer(opened: House, wanted: OneOff, say: Callable[[Credentials], Mapping[str, Any]]) -> None:
    """Print what `say` makes of each principal's credentials. Raises CredhelperError where one has failed."""
    from credhelper.tables import Bar

    errand = principals.Errand(opened, wanted, say)
    named = errand.once_each(principals.read(sys.stdin.buffer.read(principals.LIMIT + 1)))
    errand.begin(named)
    done = failed = 0
    with (
        Bar("assume-root", len(named), shown=os.isatty(2)) as bar,
        errand.stop.on_signals(bar.stopping),
        contextlib.closing(errand.lines(named, JOBS)) as lines,
    ):
        for line in lines:
            done, failed = done + 1, failed + (line.error is not None)
            with bar.aside(hidden=os.isatty(1)):
                emit(line.to_json())
            bar.update(done, failed)
    if errand.stop.event.is_set():
        raise CredhelperError(f"interrupted after {done} of {len(named)} principals")
    if errand.hopeless:
        raise errand.hopeless
    if failed:
        raise CredhelperError(
            f"{failed} of {len(named)} principals failed", "in their lines 'Error' says what went wrong"
        )
