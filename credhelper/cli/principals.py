"""`--target-principal -`: a line of JSON each on stdout, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from credhelper.assume import request as assume_request
from credhelper.cli.exec_accounts import JOBS
from credhelper.cli.output import Crowd, tell
from credhelper.errors import ConfigError
from credhelper.run.accounts import LIMIT
from credhelper.run.batch import BatchRun

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
    batch = BatchRun(opened, lambda: wanted.call(opened, may_ask=True))
    found = assume_request.principals(opened.config, sys.stdin.buffer.read(LIMIT + 1))
    crowd = Crowd("assume-root", len(found), "principals", "in their lines 'Error' says what went wrong")
    tell(crowd, batch, assume_request.answer_each(batch, found, say, JOBS))
