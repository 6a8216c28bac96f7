"""The OS keyring: which one, how much it holds, and how long it may take. The only importer of keyring.

Backends are pinned by class and never discovered, because an installed package, an environment variable
or a file in the home directory must not redirect secrets. Every call has a deadline, because a stopped
Secret Service never answers.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

from credhelper.deadline import Deadline, LateError, Running, within
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = TypeVar("Answer")

State = Literal["open", "locked", "silent", "absent", "unwanted"]

USERNAME: Final = "credhelper"
PROOF: Final = "credhelper:doctor"
"""The service name of the item that `probe` stores for a moment; it holds nothing."""
SECRET_SERVICE: Final = "keyring.backends.SecretService"  # noqa: S105 - the name of a module
UNLOCK_SECONDS: Final = 25.0
"""Time to unlock a collection that has said it is locked, where there is a display for the dialog."""

WINDOWS_PART: Final = 1200
"""Characters of one part: Credential Manager takes 2,560 bytes of UTF-16 (CRED_MAX_CREDENTIAL_BLOB_SIZE)."""


class Backend(Protocol):
    """The part of keyring's backends in use. One service name an item: on Windows two users of one race."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """The item's text; None where there is none."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Create or replace an item."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Delete an item; raises keyring.errors.PasswordDeleteError where there is none."""


class NoKeyringError(Exception):
    """No keyring now; the message says why."""


@dataclass(frozen=True)
class Pinned:
    """A backend class, the characters that one of its items holds (None: no limit), and its properties."""

    module: str
    name: str
    part_size: int | None = None
    properties: tuple[tuple[str, object], ...] = ()

    @property
    def path(self) -> str:
        """The class as the configuration names it."""
        return f"{self.module}.{self.name}"


PINNED: Final[dict[str, tuple[Pinned, ...]]] = {
    "darwin": (Pinned("keyring.backends.macOS", "Keyring", None, (("keychain", None),)),),
    "win32": (  # by default a domain user's items roam to every machine they log in to
        Pinned("keyring.backends.Windows", "WinVaultKeyring", WINDOWS_PART, (("persist", "local machine"),)),
    ),
    "linux": (
        Pinned(SECRET_SERVICE, "Keyring"),
        Pinned("keyring.backends.libsecret", "Keyring"),
        Pinned("keyring.backends.kwallet", "DBusKeyring"),
    ),
}
_ALL_PINNED: Final = tuple(pinned for group in PINNED.values() for pinned in group)


@dataclass(frozen=True)
class KeyringStatus:
    """The state of the keyring, its backend class, and the reason why it cannot be used."""

    state: State
    backend: str | None
    why: str = ""


class OsKeyring:
    """The one keyring of this process.

    `choice` is auto, none or module.Class. No dialog is waited for past `until`, and none appears in the
    `background`. Calls raise NoKeyringError when it cannot be used. After one call that was late, or found it
    locked, all of them do at once: a declined dialog must not appear again.
    """

    def __init__(
        self,
        choice: str,
        environ: Mapping[str, str],
        *,
        timeout: float = 2.0,
        until: Deadline | None = None,
        background: bool = False,
    ) -> None:
        self._background = background
        self._environ = environ
        self._until = until or Deadline(UNLOCK_SECONDS)
        self._timeout = timeout
        self._candidates = self._choose(choice)
        self._first = self._candidates[0] if self._candidates else None
        self._why = ""
        self._backend: Backend | None = None
        self._state: State = "open" if self._candidates else "unwanted"
        self.gone: str | None = None if self._candidates else "no keyring is to be used"
        """The reason why this process uses the keyring no more."""

    @staticmethod
    def _choose(choice: str) -> list[Pinned]:
        if choice in ("auto", "none"):
            return list(PINNED.get(sys.platform, ())) if choice == "auto" else []
        module, _, name = choice.rpartition(".")
        return [pinned for pinned in _ALL_PINNED if pinned.path == choice] or [Pinned(module, name)]

    @property
    def part_size(self) -> int | None:
        """Characters that one item holds; None for no limit."""
        return self._candidates[0].part_size if self._candidates else None

    def is_there(self) -> bool:
        """Whether there may be a keyring: its backend is loaded, but not used. Raises ConfigError."""
        try:
            self._open()
        except NoKeyringError:
            return False
        return True

    def probe(self) -> KeyringStatus:
        """Its state, found by storing an item for a moment, without a dialog. Raises ConfigError."""
        return self._check(self._try_item)

    def status(self) -> KeyringStatus:
        """Its state as it says itself; nothing is written or read, and no dialog. Raises ConfigError."""
        return self._check(self._ask_state)

    def _check(self, check: Callable[[Pinned], KeyringStatus]) -> KeyringStatus:
        try:
            self._pass_over_locked()
            return check(self._candidates[0])
        except NoKeyringError as error:
            return KeyringStatus("absent" if self._state == "open" else self._state, None, str(error))

    def _try_item(self, candidate: Pinned) -> KeyringStatus:
        item = f"{PROOF}:{os.getpid()}"  # other processes may do the same
        self.set(item, PROOF)
        kept = self.get(item)
        self.delete(item)
        state: State = "open" if kept == PROOF else "absent"
        return KeyringStatus(state, candidate.path, "" if kept == PROOF else "it keeps nothing")

    def _ask_state(self, candidate: Pinned) -> KeyringStatus:
        if candidate.module == SECRET_SERVICE or self._opens_no_dialog(candidate):
            return KeyringStatus("open", candidate.path)
        unknown = self._give_up("only its use tells whether it is locked", "open")
        return KeyringStatus("open", candidate.path, str(unknown))

    def get(self, service: str) -> str | None:
        """The text of an item; None where there is none."""
        return self._ask(lambda backend: backend.get_password(service, USERNAME))

    def set(self, service: str, text: str) -> None:
        """Create or replace an item."""
        self._ask(lambda backend: backend.set_password(service, USERNAME, text))

    def delete(self, service: str) -> None:
        """Delete an item; one that is not there is fine."""
        from keyring.errors import PasswordDeleteError

        def delete(backend: Backend) -> None:
            try:
                backend.delete_password(service, USERNAME)
            except PasswordDeleteError:
                # macOS and KWallet raise the same where they refuse.
                if backend.get_password(service, USERNAME) is not None:
                    raise

        self._ask(delete)

    def _ask(self, question: Callable[[Backend], Answer]) -> Answer:
        while True:
            backend = self._open()
            try:
                return self._wait(Running(partial(question, backend)))
            except Exception as error:  # noqa: BLE001 - backends raise their libraries' own errors too
                self._handle(error, is_locked=_is_locked(error))

    def _handle(self, error: Exception, *, is_locked: bool, is_final: bool = False) -> None:
        """Go on to the next backend where this one is absent, else raise NoKeyringError."""
        if isinstance(error, LateError):
            late = f"the keyring did not answer within {self._timeout:g} s"
            raise self._give_up(late, "silent") from None
        why = f"the keyring said: {_summary(error)}"
        if is_locked or (is_final and not _is_absent(error)):
            raise self._give_up(why, "locked") from None
        if not _is_absent(error):
            raise NoKeyringError(why) from None
        self._drop_first(why)

    def _give_up(self, why: str, state: State) -> NoKeyringError:
        self._backend = None
        self._state = state
        self.gone = why
        return NoKeyringError(why)

    def _pass_over_locked(self) -> None:
        """Raise NoKeyringError where using the keyring would open a dialog."""
        self._open()
        if self._candidates[0].module != SECRET_SERVICE:
            return
        try:
            locked = within(self._timeout, _collection_is_locked)
        except Exception as error:  # noqa: BLE001 - jeepney's own errors, too
            if type(error).__name__ == "ItemNotFoundException":  # the first use asks for a new one's password
                raise self._give_up("the keyring has no collection yet", "locked") from None
            self._handle(error, is_locked=False, is_final=True)
            self._pass_over_locked()
            return
        if locked:
            raise self._give_up("the keyring is locked", "locked")

    def _open(self) -> Backend:
        """The backend, imported outside the deadline, which is for the keyring alone."""
        while self._backend is None:
            if self.gone is not None:
                raise NoKeyringError(self.gone)
            if self._background and not self._opens_no_dialog(self._candidates[0]):
                self._drop_first("it may open a dialog, and this runs in the background")
                continue
            self._backend = self._load(self._candidates[0])
            if self._backend is None:
                why = "no keyring works here" if self._has_bus() else "DBUS_SESSION_BUS_ADDRESS is not set"
                self._drop_first(why)
        return self._backend

    def _load(self, candidate: Pinned) -> Backend | None:
        """A backend of that class; None where it cannot work here."""
        try:
            backend = getattr(importlib.import_module(candidate.module), candidate.name)
            # The first one is used without asking whether it works: asking costs a connection.
            works = (
                self._has_bus() if candidate is self._first else within(self._timeout, lambda: backend.viable)
            )
            if candidate in _ALL_PINNED:
                backend = _without_variables(backend)
            loaded: Backend | None = _checked(backend()) if works else None
            for name, value in candidate.properties if loaded else ():
                setattr(loaded, name, value)
        except Exception as error:  # noqa: BLE001 - a module may fail to import in any way
            if candidate in _ALL_PINNED:
                return None
            wrong = f"keyring backend '{candidate.path}' cannot be loaded: {_summary(error)}"
            raise ConfigError(wrong) from None
        return loaded

    def _drop_first(self, why: str) -> None:
        """Go on to the next pinned backend; after the last one, this process has no keyring."""
        self._candidates.pop(0)
        self._backend = None
        self._why = self._why or why
        if not self._candidates:
            self._state = "absent"
            self.gone = self._why

    def _wait(self, running: Running[Answer]) -> Answer:
        """Wait for the answer; longer while a dialog asks to unlock the collection."""
        has_display = any(self._environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if sys.platform != "linux" or not has_display:
            return running.wait(self._timeout)
        deadline = Deadline(self._timeout)
        try:
            return running.wait(deadline.left(self._timeout / 2))
        except LateError:
            if self._candidates[0].module == SECRET_SERVICE and _says_locked(deadline.left()):
                return running.wait(self._until.left(UNLOCK_SECONDS))
            return running.wait(deadline.left())

    def _has_bus(self) -> bool:
        """Whether the first pinned backend is possible: the Secret Service needs the session bus."""
        behind_bus = self._first is not None and self._first.module == SECRET_SERVICE
        return not behind_bus or bool(self._environ.get("DBUS_SESSION_BUS_ADDRESS"))

    def _opens_no_dialog(self, candidate: Pinned) -> bool:
        """Whether its use opens no dialog, as far as that is known."""
        if candidate.module == SECRET_SERVICE:
            return _says_locked(self._timeout) is False
        return candidate in (*PINNED["darwin"], *PINNED["win32"])


def _without_variables(backend: Any) -> Any:
    """The class without KEYRING_PROPERTY_* variables: one of them can move items to another collection."""
    return type(backend.__name__, (backend,), {"set_properties_from_env": lambda _self: None})


def _checked(backend: Any) -> Backend:
    if not all(callable(getattr(backend, name, None)) for name in ("get_password", "set_password")):
        raise TypeError("it is no keyring backend")
    loaded: Backend = backend
    return loaded


def _collection_is_locked() -> bool:
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        # get_default_collection would open a dialog where there is none.
        return bool(secretstorage.Collection(connection).is_locked())
    finally:
        connection.close()


def _says_locked(seconds: float) -> bool | None:
    """Whether the collection of the Secret Service is locked; None where it does not say in time."""
    try:
        return within(seconds, _collection_is_locked)
    except Exception:  # noqa: BLE001 - jeepney's own errors, too
        return None


def _is_absent(error: Exception) -> bool:
    """Whether this desktop has no such service, so that the next backend may be used."""
    return any(
        type(cause).__name__ == "SecretServiceNotAvailableException" for cause in (error, error.__cause__)
    )


def _is_locked(error: Exception) -> bool:
    """Whether it stays locked: no dialog is possible, or it was declined."""
    from keyring.errors import InitError, KeyringLocked

    return isinstance(error, (InitError, KeyringLocked)) and not _is_absent(error)


def _summary(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(".")
