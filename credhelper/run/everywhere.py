"""`exec --accounts`: a command run once for each of many accounts, and what came of it in each.

What a command prints is kept in memory until its account is done, 16 MiB of each of the two outputs; its
session's secrets are made unreadable in it, should it print them.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from credhelper import hardening
from credhelper.errors import CredhelperError, HumanNeededError, SourceError, render
from credhelper.run import accounts as run_accounts
from credhelper.run import command as run_command
from credhelper.run import environment
from credhelper.run.batch import Sessions, Stop, each
from credhelper.run.capture import OUTPUT_LIMIT, Commands

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from credhelper.app import App
    from credhelper.config.profiles import Profile
    from credhelper.credentials import Credentials
    from credhelper.run.accounts import Account

HIDDEN: Final = b"***"
CUT: Final = f"it printed more than {OUTPUT_LIMIT // 1024 // 1024} MiB, and the rest is dropped"


@dataclass(frozen=True)
class Outcome:
    """How `exec` would have ended in this account; `error` says what went wrong that was not CMD's doing."""

    account: str
    name: str | None
    rc: int
    stdout: str
    stderr: str
    seconds: float
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the sweep has failed because of it."""
        return self.rc != 0 or self.error is not None

    def to_json(self) -> bytes:
        """As it is printed."""
        return json.dumps(asdict(self)).encode() + b"\n"


class BatchRun:
    """A command, and the open profile with whose sessions it runs. Raises ConfigError, run.NotFoundError."""

    def __init__(self, opened: App, profile: Profile, command: Sequence[str]) -> None:
        self._opened = opened
        self._profile = profile
        self._words = command
        self._program = run_command.find(command, opened.environ)
        self._commands = Commands()
        self.stop = Stop(self._commands.end)
        self.hopeless: CredhelperError | None = None
        """What has failed that would fail everywhere, so that no other account is begun."""

    def accounts(self, wanted: Iterable[str], left_out: Iterable[str]) -> list[Account]:
        """Where it is to go. Raises CredhelperError; see `accounts.pick`."""
        return run_accounts.pick(self._opened.config, self._profile, wanted, left_out, self._members)

    def _members(self) -> list[Account]:
        return self._sessions.members()

    @cached_property
    def _sessions(self) -> Sessions:
        return Sessions(self._opened, self._opened.call(self._profile), self.stop)

    def begin(self, chosen: Sequence[Account]) -> None:
        """See to what all accounts need: consent, and the source. Raises CredhelperError."""
        hardening.close_memory()
        self._sessions.open(chosen)

    def outcomes(self, chosen: Iterable[Account], jobs: int) -> Generator[Outcome, None, None]:
        """What came of each account, as soon as it is known; see `each`."""
        return each(chosen, self._visit, jobs, self.stop)

    def _visit(self, account: Account) -> Outcome | None:
        if self.hopeless:
            return None
        began = time.monotonic()
        try:
            rc, stdout, stderr, error = self._run(account)
        except CredhelperError as failure:
            if isinstance(failure, (SourceError, HumanNeededError, run_command.NotExecutableError)):
                self.hopeless = failure
            rc, stdout, stderr, error = failure.status, "", render(failure).decode(), failure.sentence
        return Outcome(
            account.id, account.name, rc, stdout, stderr, round(time.monotonic() - began, 3), error
        )

    def _run(self, account: Account) -> tuple[int, str, str, str | None]:
        """Exit status, outputs, and what has gone wrong beside CMD."""
        call = self._sessions.call(account.id)
        credentials = self._sessions.mint(call)
        environ = environment.environment_of(self._opened, call, credentials)
        found = self._commands.run(self._program, self._words, environ)
        interrupted = self.stop.event.is_set() and found.status != 0
        error = "interrupted" if interrupted else CUT if found.cut else None
        return found.status, _text(found.stdout, credentials), _text(found.stderr, credentials), error


def _text(printed: bytes, credentials: Credentials) -> str:
    for secret in (credentials.secret_access_key, credentials.session_token):
        printed = printed.replace(secret.encode(), HIDDEN)
    return printed.decode("utf-8", "backslashreplace")
