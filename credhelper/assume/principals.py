"""`--target-principal -`: a session for each principal on stdin, as a line of JSON, and kept nowhere.

Parallelism, pace and a clean end are those of a sweep; so is the source, which is resolved once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper.errors import ConfigError, CredhelperError, SourceError, printable
from credhelper.run.accounts import Account
from credhelper.run.batch import Sessions, Stop, each

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from credhelper.app import App
    from credhelper.assume.request import OneOff
    from credhelper.credentials import Credentials

Named = tuple[str, "str | ConfigError"]
"""A principal as it was written, and its account, or why it has none."""

LIMIT: Final = 4 * 1024 * 1024
NAME: Final = "TargetPrincipal"


@dataclass(frozen=True)
class Line:
    """What came of one principal: what its credentials say, or an `error`."""

    principal: str
    said: Mapping[str, Any]
    error: CredhelperError | None = None

    @property
    def failed(self) -> bool:
        """Whether there are no credentials."""
        return self.error is not None

    def to_json(self) -> bytes:
        """As it is printed."""
        document = {NAME: self.principal, **self.said}
        if self.error is not None:
            document["Error"] = printable(self.error.sentence)
            document["Hints"] = [printable(hint) for hint in self.error.hints if hint]
        return json.dumps(document).encode() + b"\n"


def read(content: bytes) -> list[str]:
    """The principals, once each: one a line, `#` begins a comment. Raises ConfigError."""
    if len(content) > LIMIT:
        raise ConfigError(f"stdin has more than {LIMIT // 1024 // 1024} MiB")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError("stdin is not UTF-8") from None
    named = (line.partition("#")[0].strip() for line in lines)
    found = [*dict.fromkeys(name for name in named if name)]
    if not found:
        raise ConfigError("stdin names no principal", "write account ids, aliases or ARNs, one a line")
    return found


class Errand:
    """One call for many principals; `say` makes what is printed of credentials. Raises CredhelperError."""

    def __init__(self, opened: App, wanted: OneOff, say: Callable[[Credentials], Mapping[str, Any]]) -> None:
        self.stop = Stop(lambda _number: None)  # a call that is under way ends by its own deadline
        self.hopeless: CredhelperError | None = None
        """What has failed that would fail for every principal, so that no other one is begun."""
        self._config = opened.config
        self._sessions = Sessions(opened, wanted.call(opened, may_ask=True), self.stop)
        self._say = say

    def once_each(self, principals: Iterable[str]) -> list[Named]:
        """Each principal with its account; an account that is named in two ways stands once."""
        found: dict[str, Named] = {}
        for principal in principals:
            account = self._account(principal)
            found.setdefault(account if isinstance(account, str) else principal, (principal, account))
        return [*found.values()]

    def _account(self, principal: str) -> str | ConfigError:
        try:
            return self._config.account_id(principal, arn=True)
        except ConfigError as error:
            return error

    def begin(self, named: Iterable[Named]) -> None:
        """See to what all need: consent, and the source. Raises CredhelperError."""
        self._sessions.open([Account(account) for _, account in named if isinstance(account, str)])

    def lines(self, named: Iterable[Named], jobs: int) -> Generator[Line, None, None]:
        """What came of each, as soon as it is known."""
        return each(named, self._answer, jobs, self.stop)

    def _answer(self, named: Named) -> Line | None:
        principal, account = named
        if self.hopeless:
            return None
        try:
            if isinstance(account, ConfigError):
                raise account
            said = self._say(self._sessions.mint(self._sessions.call(account)))
        except CredhelperError as error:
            if isinstance(error, SourceError):
                self.hopeless = error
            return Line(principal, {}, error)
        return Line(principal, said)
