"""Builds what one command needs."""

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
from credhelper.cache.locks import FileLocks
from credhelper.cache.store import Store
from credhelper.config import profiles as config_profiles
from credhelper.config import validation
from credhelper.config.keys import SECTIONS
from credhelper.config.profiles import Config
from credhelper.credentials import Clocks
from credhelper.deadline import Deadline
from credhelper.errors import ConfigError, os_reason
from credhelper.log import Log
from credhelper.sessions import caller
from credhelper.sessions.caller import CallerContext
from credhelper.sessions.calls import CallPlanner
from credhelper.sessions.consent import Consent, UserInput
from credhelper.sessions.minter import Minter
from credhelper.sessions.parameters import NameContext
from credhelper.sessions.prompter import Prompter
from credhelper.sessions.provider import Caches, SessionProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.minter import StsApi
    from credhelper.sessions.provider import Agent

NO_INPUT: Final = UserInput()
_FORMS: Final = {"CREDHELPER_AGENT": "auto or off", "CREDHELPER_KEYRING": "auto, none or module.Class"}


GET_SECONDS: Final = 50.0
"""Time for one `get`: Go's and Kotlin's SDKs give up after 60 s and leave the process behind."""


@dataclass(frozen=True)
class App:
    """The parts that one command works with."""

    environ: Mapping[str, str]
    places: paths.Places
    caller: CallerContext
    agent: client.AgentClient
    locks: FileLocks
    audit: Audit
    store: Store
    user_input: UserInput
    idle_seconds: float
    background: bool
    loaded: Config | ConfigError
    ending: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Closes what a command may leave open, where the process goes on after it."""

    @property
    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        if isinstance(self.loaded, ConfigError):
            raise self.loaded
        return self.loaded

    def call(self, profile: Profile) -> StsCall:
        """The call that answers for a profile; this may prompt for a reason."""
        return self.planner(self.consent().reason).call(profile)

    def planner(
        self, reason: Callable[[Profile], str | None] | None = None, *, by_index: bool = False
    ) -> CallPlanner:
        """Plans the calls of profiles. `reason` finds the one for {reason}: by default, it does not prompt.

        With `by_index` no keyring is opened to look up saved keys.
        """

        def saved_key_id(name: str) -> str | None:
            if by_index:
                listed = (key for key in self.store.index.saved_keys() if key.name == name)
                return next((key.access_key_id for key in listed), None)
            saved = self.store.saved_key(name)
            return None if saved is None else saved.access_key_id

        environ, user = self.environ, self.caller.user
        names = NameContext(user, caller.host(environ), reason or self.consent().known_reason)
        return CallPlanner(
            self.config, profiles.read(environ), environ, names, saved_key_id, self.caller.path
        )

    def consent(
        self,
        context: CallerContext | None = None,
        codes: Mapping[str, str] | None = None,
        *,
        prompts: bool = True,
    ) -> Consent:
        """Knows what the user has approved, and asks for the rest unless `prompts` is false."""
        context = context or self.caller
        prompter = Prompter(context, self.locks, self.agent) if prompts and not self.background else None
        given = replace(self.user_input, codes=codes or {})
        return Consent(given, self.locks, context.user, prompter)

    def provider(
        self,
        *,
        sts: StsApi | None = None,
        agent: Agent | None = None,
        deadline: Deadline | None = None,
        codes: Mapping[str, str] | None = None,
        prompts: bool = True,
    ) -> SessionProvider:
        """Gets the credentials of the calls that `planner` builds.

        `sts`, `agent` and `deadline` replace those of this command; `codes` are MFA codes by device.
        """
        context = replace(self.caller, deadline=deadline) if deadline else self.caller
        consent = self.consent(context, codes, prompts=prompts)
        minter = Minter(lambda: sts or self._sts, consent, self.audit, context)
        return SessionProvider(Caches(self.store, agent or self.agent, self.locks), minter, context)

    @cached_property
    def _sts(self) -> StsApi:
        """The client of STS. It imports botocore, which a cached answer does without."""
        from credhelper.aws.sts import Sts

        sts = Sts(self.environ)
        self.ending.callback(sts.close)
        return sts

    def envelope(self, profile: Profile, *, mode: client.CacheMode = "get", cache: bool = True) -> bytes:
        """The envelope for a profile; the agent gets it too, for every caller with the same request.

        Raises CredhelperError; `client.settle` passes it on to the callers that wait.
        """
        shared = cache and profile.cache is not False
        if shared:
            self.agent.take()
        else:
            self.agent.decline()
        call, provider = self.call(profile), self.provider()
        credentials = provider.get(call, mode=mode, cache=cache)
        envelope = credentials.envelope()
        if shared:
            self.agent.hit.put(envelope, provider.thresholds(call, credentials), call.key, profile.name)
        return envelope


@dataclass
class Invocation:
    """How the program started: when, on the monotonic clock, and with which arguments after the command.

    `pending` is the request to the agent that is still open. A renewal ahead of need is `background`: it does
    not prompt and does not unlock the keyring. `program` is the name of this process where it is not
    credhelper: then it is the requester, and no agent is started.
    """

    began: float
    arguments: list[str] = field(default_factory=list)
    pending: wire.PendingRequest | None = None
    background: bool = False
    program: str = ""


def open_app(
    environ: Mapping[str, str], start: Invocation, given: UserInput = NO_INPUT, *, optional: bool = False
) -> App:
    """Build the parts of one command. Only the configuration is read, which may be missing if `optional`."""
    now, age = expiry.read_clocks(), max(0.0, time.monotonic() - start.began)
    started = Clocks(now.wall - age, None if now.boot is None else now.boot - age, now.boot_id)
    deadline = Deadline(GET_SECONDS - age)
    places = paths.find(environ)
    log = Log(places.log, debug=environ.get("CREDHELPER_LOG") == "debug")
    locks = FileLocks(wire.runtime_directory(environ) or _lock_directory(places, log), log)
    loaded: Config | ConfigError
    try:
        loaded = options = config_profiles.load(places.config, optional=optional)
    except ConfigError as error:
        loaded, options = error, Config(places.config, "", {})
    keyring = cache_keyring.OsKeyring(
        _choice(environ, "CREDHELPER_KEYRING", options, "keyring", "backend"),
        environ,
        timeout=options.option("keyring", "timeout"),
        until=deadline,
        background=start.background,
    )
    wanted = _choice(environ, "CREDHELPER_AGENT", options, "agent", "mode") == "auto"
    agent = client.AgentClient(
        agent_directory(environ) if wanted and not isinstance(loaded, ConfigError) else None,
        log,
        idle_seconds=options.option("agent", "idle_exit"),
        pending=_checked(start.pending, environ, places),
        starts=not start.program,
    )
    if not wanted:
        agent.decline()
    program = start.program or ("refresh ahead" if start.background else "")
    return App(
        environ,
        places,
        CallerContext(environ, log, deadline, started, program),
        agent,
        locks,
        Audit(places.audit, log, required=options.option("audit", "required")),
        Store(keyring, Index(places.items, locks, log), log),
        replace(given, reason=given.reason or environ.get("CREDHELPER_REASON") or None),
        options.option("agent", "idle_exit"),
        start.background,
        loaded,
    )


def _checked(
    pending: wire.PendingRequest | None, environ: Mapping[str, str], places: paths.Places
) -> wire.PendingRequest | None:
    """The open request; without its hit key where that is a digest of other files than this command reads."""
    if pending is not None and pending.key is not None:
        files = wire.configuration_files(environ)
        if files is None or os.path.abspath(files[0]) != places.config:
            client.Lease(pending).open()
            pending.key = None
    return pending


def agent_directory(environ: Mapping[str, str]) -> str | None:
    """The directory of the agent's socket; None where the system has no agent."""
    return None if sys.platform == "win32" else wire.runtime_directory(environ)


def _choice(environ: Mapping[str, str], variable: str, options: Config, section: str, name: str) -> str:
    """An option of the configuration, or the variable that beats it. Raises ConfigError."""
    key = next(each for each in SECTIONS[section] if each.name == name)
    chosen = environ.get(variable) or options.option(section, name)
    if validation.problem(key, chosen):
        raise ConfigError(f"{variable} must be {_FORMS[variable]}, not '{chosen}'")
    return str(chosen)


def _lock_directory(places: paths.Places, log: Log) -> str | None:
    """Where locks are on a machine without a safe runtime directory."""
    directory = os.path.join(places.state, "locks")
    try:
        if paths.may_write_in(directory):
            paths.make_private(directory)
            return directory
    except OSError as error:
        log.warning(f"no place for locks: {os_reason(error)}")
    return None
