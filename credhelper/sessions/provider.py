"""From a call to credentials: cached and fresh, or minted by one of all callers that ask.

Every call of a chain takes the same way: read the cache, lock the KEY, read the cache again, mint. A valid
credential is never withheld because a new one cannot be had.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from credhelper import expiry
from credhelper.agent.client import Lease
from credhelper.credentials import AccessKey, Clocks, Credentials
from credhelper.errors import CancelledError, ConfigError, CredhelperError, InteractionError

if TYPE_CHECKING:
    from credhelper.agent.client import CacheMode
    from credhelper.cache.locks import FileLocks
    from credhelper.cache.store import Store
    from credhelper.clocks import ExpiryThresholds
    from credhelper.sessions.caller import CallerContext
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.minter import Minter

TIME_TO_MINT: Final = 12.0
"""Seconds of the deadline that a caller keeps for itself when it waits for another caller's mint."""

TIME_TO_GIVE_UP: Final = 4.0
"""The same, where that mint needs user interaction: the user has 40 s, and would have to be asked again."""

NESTED_PATIENCE: Final = 5.0
"""Seconds that a credhelper which another one started waits for a lock.

Two loops of the same profiles, entered at different ends, hold each other's locks. Going on without the
lock, the inner processes find the loop and report it.
"""

ROUNDS: Final = 3
"""Times to ask the agent for a session that is younger than the one it gives."""

STALE_SOURCE: Final = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId")
ANOTHER_MINT: Final = "another caller's mint"


class Agent(Protocol):
    """Shares sessions among callers."""

    def ask(self, key: str, mode: CacheMode, patience: float) -> Credentials | CredhelperError | Lease:
        """What another caller minted, or its failure; otherwise the lease, to mint with."""


@dataclass(frozen=True)
class Caches:
    """Where sessions are kept and shared: the keyring, the agent, and the files next to the locks."""

    store: Store
    agent: Agent
    locks: FileLocks


class SessionProvider:
    """Gets the credentials of calls, from the caches or from a mint."""

    def __init__(self, caches: Caches, minter: Minter, caller: CallerContext) -> None:
        self._store, self._agent, self._locks = caches.store, caches.agent, caches.locks
        self.minter = minter
        self._consent = minter.consent
        self._log = caller.log
        self._deadline = caller.deadline
        self._started = caller.started
        self._nested = bool(caller.path)
        self._waiting_for_user: set[str] = set()
        self._sweep_is_due = False

    def get(self, call: StsCall, *, mode: CacheMode = "get", cache: bool = True) -> Credentials:
        """Credentials for a call. Raises CredhelperError.

        Mode `mint` mints now, or joins a mint that began after this command; mode `renew` mints where that is
        due ahead of need. Without `cache` nothing is read or stored for this call, only for its parents.
        """
        try:
            return self._get(call, mode, cache=cache)
        except KeyboardInterrupt:  # a terminal interrupts every caller that waits while one of them prompts
            if self._awaits_user(call):
                raise CancelledError(f"cancelled: profile '{call.path[0][1]}' waits for an answer") from None
            raise

    def _get(self, call: StsCall, mode: CacheMode, *, cache: bool) -> Credentials:
        if not cache or call.profile.cache is False:
            return self._mint(call)
        for _ in range(ROUNDS):
            with self._deadline.spend(ANOTHER_MINT):
                answer = self._agent.ask(self._shared_key(call), mode, self._patience())
            if isinstance(answer, CredhelperError):
                return self._fall_back(call, self._stored(call), answer)
            if isinstance(answer, Lease):
                return self._get_with(answer, call, mode)
            if mode != "mint" or self._is_newer(answer):
                self._log.debug(f"{call.profile.name}: the agent has it")
                return answer
        return self._get_with(Lease(), call, mode)

    @staticmethod
    def _shared_key(call: StsCall) -> str:
        """What the agent knows the call by: callers that accept different answers do not share one."""
        own = call.profile.get("min_remaining")
        return call.key if own is None else f"{call.key} {own}"

    def _get_with(self, lease: Lease, call: StsCall, mode: CacheMode) -> Credentials:
        """Credentials from the keyring or a mint; the lease passes the outcome on to waiting callers."""
        with lease:
            credentials = self._read_or_mint(call, Credentials.from_json(lease.stale.decode()), mode)
            body = credentials.to_json().encode("ascii")
            kept = lease.put(body, self.thresholds(call, credentials), call.key, call.profile.name)
        if kept is False:  # a `clear` came meanwhile, and the keyring may have got the session since
            self._store.forget([item for item in self._store.items() if item.key == call.key])
        if self._sweep_is_due:
            self._sweep_is_due = False
            self._store.sweep()
        return credentials

    def _read_or_mint(self, call: StsCall, shared: Credentials | None, mode: CacheMode) -> Credentials:
        cached = _longer_lived(self._stored(call), shared)
        if cached is not None and self._is_acceptable(call, cached, mode):
            self._log.debug(f"{call.profile.name}: cached")
            return cached
        is_stored = self._is_stored(call) and self._store.can_keep()
        with contextlib.ExitStack() as held:
            with self._deadline.spend(ANOTHER_MINT):
                held.enter_context(self._locks.hold(call.key, self._lock_patience(call)))
            if not self._is_since_start(self._locks.states.released(call.key)):
                cached = _longer_lived(self._stored(call), shared)
                if cached is not None and self._is_acceptable(call, cached, mode):
                    return cached
                return self._mint_and_store(call, cached, is_stored=is_stored)
        # What the last holder minted could not be stored: with the lock, callers would only wait in turn.
        try:
            return self._mint(call)
        except CredhelperError as error:
            return self._fall_back(call, cached, error)

    def _is_since_start(self, moment: Clocks | None) -> bool:
        return moment is not None and expiry.since(self._started, moment) >= 0

    def _patience(self) -> float:
        """Seconds to wait for another caller's mint; the agent extends them while that caller prompts."""
        patience = max(0.0, self._deadline.left() - TIME_TO_MINT)
        return min(patience, NESTED_PATIENCE) if self._nested else patience

    def _lock_patience(self, call: StsCall) -> float:
        """The same at a lock, which does not tell whether its holder prompts."""
        if self._awaits_user(call):
            return max(0.0, self._deadline.left() - TIME_TO_GIVE_UP)
        return self._patience()

    def _awaits_user(self, call: StsCall) -> bool:
        """Whether this call, or one whose session it depends on, needs user interaction."""
        return any(self._consent.needs_user(hop) for hop in call.hops())

    def _mint_and_store(self, call: StsCall, cached: Credentials | None, *, is_stored: bool) -> Credentials:
        failure = self._locks.states.last_failure(call.key)
        if failure is not None and self._is_since_start(failure.at):
            return self._fall_back(call, cached, failure.error)
        try:
            credentials = self._mint(call)
        except CredhelperError as error:
            if isinstance(error, InteractionError):
                self._waiting_for_user.add(call.key)
            if not error.is_own:
                self._locks.states.remember(call.key, error)
            # A caller that did not wait longer for this one may have minted meanwhile.
            return self._fall_back(call, self._stored(call) or cached, error)
        self._locks.states.forget(call.key)
        profile = call.profile
        if is_stored and self._store.put(call.key, credentials, profile=profile.name, kind=profile.kind):
            self._sweep_is_due = True
        else:
            self._locks.states.release(call.key)
        return credentials

    def _stored(self, call: StsCall) -> Credentials | None:
        return self._store.get(call.key) if self._is_stored(call) else None

    @staticmethod
    def _is_stored(call: StsCall) -> bool:
        """Whether the keyring may have it: `cache = "memory"` leaves it to the agent alone."""
        return call.profile.cache is True

    def _is_acceptable(self, call: StsCall, cached: Credentials, mode: CacheMode) -> bool:
        """Whether a cached session is the answer; after a failed attempt, one that is still servable is."""
        if mode == "mint":
            return self._is_newer(cached)
        now, accepted = expiry.read_clocks(), self.min_remaining(call)
        if mode == "renew":
            return expiry.remaining(cached, now) >= expiry.refresh_ahead(cached, accepted)
        return expiry.is_fresh(cached, now, accepted) or (
            expiry.is_servable(cached, now) and self._has_just_failed(call, now)
        )

    def _has_just_failed(self, call: StsCall, now: Clocks) -> bool:
        failure = self._locks.states.last_failure(call.key)
        return failure is not None and 0 <= expiry.since(failure.at, now) < expiry.BACK_OFF

    def min_remaining(self, call: StsCall) -> float | None:
        """The profile's own limit. A call that needs user interaction is put off while a session serves."""
        own = call.profile.get("min_remaining")
        return expiry.SERVABLE if own is None and self._consent.needs_user(call) else own

    def thresholds(self, call: StsCall, credentials: Credentials) -> ExpiryThresholds:
        """Until when, and from when on, the agent does what with these credentials."""
        now, waits = expiry.read_clocks(), call.key in self._waiting_for_user
        return expiry.thresholds(
            credentials,
            now,
            self.min_remaining(call),
            ahead=not self._consent.needs_user(call) and not waits,
            failed=self._has_just_failed(call, now) or waits,
        )

    def _is_newer(self, cached: Credentials) -> bool:
        """Whether it was minted after this command began: a refresh joins a mint that was under way."""
        return self._is_since_start(cached.minted)

    def _fall_back(self, call: StsCall, cached: Credentials | None, error: CredhelperError) -> Credentials:
        """The cached session where it is still servable; otherwise raises the error."""
        servable = cached is not None and expiry.is_servable(cached, expiry.read_clocks())
        if cached is None or not servable or isinstance(error, ConfigError):
            raise error
        self._log.warning(f"{call.profile.name}: served from the cache because {error.sentence}")
        return cached

    def _mint(self, call: StsCall) -> Credentials:
        permission = self.minter.permit(call)
        access_key = self.source_key(call)
        try:
            return self.minter.mint(call, access_key, permission)
        except CredhelperError as error:
            newer = self._newer_key(call, access_key) if error.code in STALE_SOURCE else None
            if newer is None:
                raise
        return self.minter.mint(call, newer, permission)

    def _newer_key(self, call: StsCall, access_key: AccessKey) -> AccessKey | None:
        """What signs a call when AWS no longer accepts the access key; None where there is nothing else.

        A cached session can be revoked before it expires; a saved key can be rotated after it was read.
        """
        if call.parent is not None:
            return self.get(call.parent, mode="mint").access_key
        saved = self._saved_key(call)
        return saved if saved != access_key else None

    def _saved_key(self, call: StsCall) -> AccessKey | None:
        return self._store.saved_key(call.source.name) if call.source.place == "saved key" else None

    def source_key(self, call: StsCall) -> AccessKey:
        """What signs a call: its parent's session, cached or minted, or else its source's credentials."""
        self._log.debug(f"{call.profile.name}: the source is {call.signer}")
        if call.parent is not None:
            return self.get(call.parent).access_key
        return self._saved_key(call) or self.minter.source_key(call)


def _longer_lived(*found: Credentials | None) -> Credentials | None:
    return max(filter(None, found), key=lambda credentials: credentials.expiration, default=None)
