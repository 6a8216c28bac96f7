"""The parts of the house, opened and put together for one command."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from credhelper import expiry, paths, wire
from credhelper.agent import client
from credhelper.audit import Audit
from credhelper.awsconfig import profiles
from credhelper.cache import keyring as cache_keyring
from credhelper.cache.index import Index
from credhelper.cache.locks import Locks
from credhelper.cache.store import Store
from credhelper.config import profiles as config_profiles
from credhelper.config import validation
from credhelper.config.keys import SECTIONS
from credhelper.credentials import Clocks
from credhelper.deadline import Deadline
from credhelper.errors import ConfigError
from credhelper.log import Log
from credhelper.sessions import caller, calls, parameters
from credhelper.sessions.consent import Asking, Consent, UserInput
from credhelper.sessions.minter import Requester, StsApi
from credhelper.sessions.provider import Agent, SessionProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.config.profiles import Profile
    from credhelper.prompts import Answer, Question
    from credhelper.sessions.calls import StsCall

NOTHING_SAID: Final = UserInput()

PERSON_SECONDS: Final = 40.0
"""Time for a person to answer; the rest is for the mint."""

GET_SECONDS: Final = 50.0
"""Time for one `get`: Go's and Kotlin's SDKs give up after 60 s and leave the process behind."""


@dataclass(frozen=True)
class App:
    """The parts, opened for one command."""

    environ: Mapping[str, str]
    places: paths.Places
    log: Log
    agent: client.AgentClient
    locks: Locks
    audit: Audit
    store: Store
    said: UserInput
    started: Clocks
    deadline: Deadline
    idle_seconds: float
    background: bool
    program: str
    loaded: config_profiles.Config | ConfigError
    may_ask: bool = True
    ending: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What is to be closed where the process goes on; a command leaves it to its end."""

    @property
    def config(self) -> config_profiles.Config:
        """The configuration. Raises ConfigError."""
        if isinstance(self.loaded, ConfigError):
            raise self.loaded
        return self.loaded

    def call(self, profile: Profile) -> calls.StsCall:
        """The call that answers for a profile, for whoever is going to make it: this may ask for a reason."""
        return self.planner(may_ask=True).call(profile)

    def planner(self, *, may_ask: bool = False, by_index: bool = False) -> calls.CallPlanner:
        """What builds the calls of profiles; `by_index` for a look, for which no keyring is opened."""

        def saved_key_id(name: str) -> str | None:
            if by_index:
                listed = (key for key in self.store.index.saved_keys() if key.name == name)
                return next((key.access_key_id for key in listed), None)
            saved = self.store.saved_key(name)
            return None if saved is None else saved.access_key_id

        environ = self.environ
        reason = self.consent.reason if may_ask else self.consent.known_reason
        person = parameters.NameContext(caller.user(environ), caller.host(environ), reason)
        files = profiles.read(environ)
        return calls.CallPlanner(self.config, files, environ, person, saved_key_id, self._came_from())

    def _requester(self) -> Requester:
        if self.program or self.background:
            return Requester(self.program or "refresh ahead", os.getpid())
        return Requester(*caller.asking_program())

    @cached_property
    def consent(self) -> Consent:
        """What knows what a person has said, and asks them."""
        asking = (
            None
            if self.background or not self.may_ask
            else Asking(self._ask, lambda: self._requester().program)
        )
        return Consent(self.said, self.locks, caller.user(self.environ), asking)

    def _ask(self, question: Question, call: StsCall | None) -> Answer:
        """Ask the person, one question at a time. Raises NobodyError, CancelledError."""
        from credhelper import prompts

        environ = self.environ
        path = self._came_from() if call is None else call.path
        return prompts.ask(
            question,
            command=None if call is None else call.profile.get("mfa_command"),
            choice=environ.get("CREDHELPER_PROMPT") or "auto",
            environ={**environ, "CREDHELPER_CHAIN": calls.write_path(path)},
            seconds=self.deadline.left(PERSON_SECONDS),
            turn=lambda seconds: self.locks.hold("prompt", seconds),
        )

    def _came_from(self) -> tuple[calls.Node, ...]:
        """The profiles of other credhelper processes that are waiting for this one."""
        return calls.read_path(self.environ.get("CREDHELPER_CHAIN", ""))

    def provider(self, aws: StsApi | None = None, agent: Agent | None = None) -> SessionProvider:
        """What answers for the calls that `planner` builds; it asks these, or else those of the house."""
        opened: list[StsApi] = [] if aws is None else [aws]

        def asked() -> StsApi:
            if not opened:
                from credhelper.aws.sts import Sts

                own = Sts(self.environ)
                self.ending.callback(own.close)
                opened.append(own)
            return opened[0]

        return SessionProvider(
            aws=asked,
            store=self.store,
            agent=agent or self.agent,
            locks=self.locks,
            audit=self.audit,
            log=self.log,
            deadline=self.deadline,
            requester=self._requester,
            started=self.started,
            consent=self.consent,
            nested=bool(self._came_from()),
        )


@dataclass
class Invocation:
    """How the program started: when, on the monotonic clock, with which arguments behind the verb.

    `pending` is the request to the agent that is still open. A renewal ahead of need is `background`: it does
    not prompt and does not unlock the keyring. `program` is the name of this process where it is not
    credhelper: then there is no other requester, and no agent is started.
    """

    began: float
    arguments: list[str] = field(default_factory=list)
    pending: wire.PendingRequest | None = None
    background: bool = False
    program: str = ""


def open_app(
    environ: Mapping[str, str], start: Invocation, said: UserInput = NOTHING_SAID, *, optional: bool = False
) -> App:
    """Find the places and open the parts; nothing is read yet but the configuration, maybe `optional`."""
    now, age = expiry.read_clocks(), max(0.0, time.monotonic() - start.began)
    started = Clocks(now.wall - age, None if now.boot is None else now.boot - age, now.boot_id)
    deadline = Deadline(GET_SECONDS - age)
    places = paths.find(environ)
    log = Log(places.log, debug=environ.get("CREDHELPER_LOG") == "debug")
    locks = Locks(wire.runtime_directory(environ) or _lock_directory(places, log), log)
    loaded: config_profiles.Config | ConfigError
    try:
        loaded = options = config_profiles.load(places.config, optional=optional)
    except ConfigError as error:
        loaded, options = error, config_profiles.Config(places.config, "", {})
    keyring = cache_keyring.OsKeyring(
        _keyring_choice(environ, options.option("keyring", "backend")),
        environ,
        timeout=options.option("keyring", "timeout"),
        until=deadline,
        background=start.background,
    )
    wanted = _agent_mode(environ, options.option("agent", "mode")) == "auto"
    agent = client.AgentClient(
        agent_directory(environ) if wanted and not isinstance(loaded, ConfigError) else None,
        log,
        idle_seconds=options.option("agent", "idle_exit"),
        pending=_checked(start.pending, environ, places),
        starts=not start.program,
    )
    if not wanted:
        agent.decline()
    return App(
        environ,
        places,
        log,
        agent,
        locks,
        Audit(places.audit, log, required=options.option("audit", "required")),
        Store(keyring, Index(places.items, locks, log), log),
        replace(said, reason=said.reason or environ.get("CREDHELPER_REASON") or None),
        started,
        deadline,
        options.option("agent", "idle_exit"),
        start.background,
        start.program,
        loaded,
    )


def _checked(
    pending: wire.PendingRequest | None, environ: Mapping[str, str], places: paths.Places
) -> wire.PendingRequest | None:
    """The ticket; without its hit key where that was taken from another file than the one that we read."""
    if pending is not None and pending.key is not None:
        files = wire.configuration_files(environ)
        if files is None or os.path.abspath(files[0]) != places.config:
            client.Lease(pending).open()
            pending.key = None
    return pending


def agent_directory(environ: Mapping[str, str]) -> str | None:
    """Where the agent's socket is; None where there cannot be one."""
    return None if sys.platform == "win32" else wire.runtime_directory(environ)


def _agent_mode(environ: Mapping[str, str], configured: str) -> str:
    choice = environ.get("CREDHELPER_AGENT") or configured
    if choice not in ("auto", "off"):
        raise ConfigError(f"CREDHELPER_AGENT must be auto or off, not '{choice}'")
    return choice


def _lock_directory(places: paths.Places, log: Log) -> str | None:
    """A place for locks on a machine without a runtime directory that is safe."""
    directory = os.path.join(places.state, "locks")
    try:
        if paths.may_write_in(directory):
            paths.make_private(directory)
            return directory
    except OSError as error:
        log.warning(f"no place for locks: {error.strerror or error}")
    return None


def files(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where this user's files are, and what they are."""
    places = paths.find(environ)
    return [
        (places.config, "the profiles; CREDHELPER_CONFIG names another one"),
        (places.audit, "the record of sessions minted and refused"),
        (places.log, "the log of non-fatal errors"),
    ]


def _keyring_choice(environ: Mapping[str, str], configured: str) -> str:
    choice = environ.get("CREDHELPER_KEYRING") or configured
    backend = next(key for key in SECTIONS["keyring"] if key.name == "backend")
    if validation.problem(backend, choice):
        raise ConfigError(f"CREDHELPER_KEYRING must be auto, none or module.Class, not '{choice}'")
    return choice
