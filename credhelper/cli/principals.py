"""`--target-principal -`: a line of JSON each on stdout, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from credhelper.assume import principals
from credhelper.cli.exec_accounts import JOBS
from credhelper.cli.output import Crowd, tell
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.app import App
    from credhelper.assume.request import OneOff
    from credhelper.credentials import Credentials


def refuse(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for options that do not go with many principals."""
    if options["credential_stdin"]:
        raise ConfigError("'--credential-stdin' and '--target-principal -' both read stdin: give one")
    if options["output"] not in (None, "json", "response"):
        raise ConfigError(f"principals from stdin are answered in lines of JSON, not as {options['output']}")
    if options["refresh"]:
        raise ConfigError("'--refresh' does not go with principals from stdin, for whom all is minted")


def answer(opened: App, wanted: OneOff, say: Callable[[Credentials], Mapping[str, Any]]) -> None:
    """Print what `say` makes of each principal's credentials. Raises CredhelperError where one has failed."""
    errand = principals.Errand(opened, wanted, say)
    named = errand.once_each(principals.read(sys.stdin.buffer.read(principals.LIMIT + 1)))
    errand.begin(named)
    crowd = Crowd("assume-root", len(named), "principals", "in their lines 'Error' says what went wrong")
    tell(crowd, errand, errand.lines(named, JOBS))
