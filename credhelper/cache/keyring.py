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
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

from credhelper.deadline import Deadline, LateError, Running, within
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = TypeVar("Answer")

State = Literal["open", "locked", "silent", "absent", "unwanted"]

USERNAME: Final = "credhelper"
PROOF: Final = "credhelper:doctor"
"""How the item is called that `probe` keeps for a moment; nothing is in it."""
SECRET_SERVICE: Final = "keyring.backends.SecretService"  # noqa: S105 - the name of a module
UNLOCK_SECONDS: Final = 25.0
"""Time for a person to unlock a collection that has said it is locked, where they can see the dialog."""

WINDOWS_PART: Final = 1200
"""Characters of one part: Credential Manager holds 2,560 bytes of UTF-16 (CRED_MAX_CREDENTIAL_BLOB_SIZE)."""


class Backend(Protocol):
    """What we use of keyring's backends. One service name an item: on Windows two users under one race."""

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
    """A backend class by name, and what is set on it.

    `part_size` is how many characters one of its items holds; None where no limit is known.
    """

    module: str
    name: str
    part_size: int | None = None
    properties: tuple[tuple[str, object], ...] = ()


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
class Look:
    """How the keyring is, the class that it is used by, and why it cannot be used."""

    state: State
    backend: str | None
    why: str = ""


class OsKeyring:
    """The one keyring of this process.

    `choice` is auto, none or module.Class; nobody is waited for past `until`, and where it is `background`,
    nobody is asked to unlock anything. Calls raise NoKeyringError when it cannot be used; after one call that
    did not come back in time, or that found it locked, all of them do, at once: nobody is to be asked a
    second time for what they have just declined.
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
        self._hushed = background
        self._environ = environ
        self._until = until or Deadline(UNLOCK_SECONDS)
        self._timeout = timeout
        self._candidates = self._choose(choice)
        self._first = self._candidates[0] if self._candidates else None
        self._why = ""
        self._backend: Backend | None = None
        self._state: State = "open" if self._candidates else "unwanted"
        self.gone: str | None = None if self._candidates else "no keyring is to be used"
        """Why this process asks the keyring no more."""

    @staticmethod
    def _choose(choice: str) -> list[Pinned]:
        if choice == "none":
            return []
        if choice == "auto":
            return list(PINNED.get(sys.platform, ()))
        module, _, name = choice.rpartition(".")
        known = [pinned for pinned in _ALL_PINNED if (pinned.module, pinned.name) == (module, name)]
        return known or [Pinned(module, name)]

    @property
    def part_size(self) -> int | None:
        """Characters that one item holds; None where no limit is known."""
        return self._candidates[0].part_size if self._candidates else None

    def is_there(self) -> bool:
        """Whether there may be a keyring; it is loaded for that but not asked. Raises ConfigError."""
        try:
            self._open()
        except NoKeyringError:
            return False
        return True

    def probe(self) -> Look:
        """How it is, by keeping something in it for a moment. Raises ConfigError.

        Nobody is asked to unlock it: one that would ask is left alone by this process from now on.
        """
        try:
            self._pass_over_locked()
            name = f"{self._candidates[0].module}.{self._candidates[0].name}"
            proof = f"{PROOF}:{os.getpid()}"  # others may be looking, too
            self.set(proof, PROOF)
            kept = self.get(proof)
            self.delete(proof)
        except NoKeyringError as error:
            return Look("absent" if self._state == "open" else self._state, None, str(error))
        return Look("open", name) if kept == PROOF else Look("absent", name, "it keeps nothing")

    def status(self) -> Look:
        """How it is, as far as it says so by itself: nothing is written or read. Raises ConfigError.

        One that would ask somebody for a password, or may, is left alone by this process from now on.
        """
        try:
            self._pass_over_locked()
        except NoKeyringError as error:
            return Look("absent" if self._state == "open" else self._state, None, str(error))
        candidate = self._candidates[0]
        name = f"{candidate.module}.{candidate.name}"
        if candidate.module == SECRET_SERVICE or self._asks_nobody(candidate):
            return Look("open", name)
        return Look("open", name, str(self._give_up("only its use tells whether it is locked", "open")))

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
                return self._wait(_start(question, backend))
            except LateError:
                raise self._give_up(self._too_late(), "silent") from None
            except Exception as error:  # noqa: BLE001 - backends raise their libraries' own errors too
                said = f"the keyring said: {_summary(error)}"
                if _is_locked(error):
                    raise self._give_up(said, "locked") from None
                if not _is_absent(error):
                    raise NoKeyringError(said) from None
                self._drop_first(said)

    def _give_up(self, why: str, state: State) -> NoKeyringError:
        self._backend = None
        self._state = state
        self.gone = why
        return NoKeyringError(why)

    def _too_late(self) -> str:
        return f"the keyring did not answer within {self._timeout:g} s"

    def _pass_over_locked(self) -> None:
        """Raise NoKeyringError where using the keyring would ask somebody for a password."""
        self._open()
        if self._candidates[0].module != SECRET_SERVICE:
            return
        try:
            locked = within(self._timeout, _collection_is_locked)
        except LateError:
            raise self._give_up(self._too_late(), "silent") from None
        except Exception as error:  # noqa: BLE001 - jeepney's own errors, too
            if type(error).__name__ == "ItemNotFoundException":  # the first use asks for a new one's password
                raise self._give_up("the keyring has no collection yet", "locked") from None
            said = f"the keyring said: {_summary(error)}"
            if not _is_absent(error):
                raise self._give_up(said, "locked") from None
            self._drop_first(said)
            self._pass_over_locked()
            return
        if locked:
            raise self._give_up("the keyring is locked", "locked")

    def _open(self) -> Backend:
        """The backend, imported outside the deadline: that is our own time, not the keyring's."""
        while self._backend is None:
            if self.gone is not None:
                raise NoKeyringError(self.gone)
            if self._hushed and not self._asks_nobody(self._candidates[0]):
                self._drop_first("it may ask for a password, and nobody is to be disturbed")
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
            # The first of the list is not asked whether it works, but used: asking costs a connection.
            works = (
                self._has_bus() if candidate is self._first else within(self._timeout, lambda: backend.viable)
            )
            if candidate in _ALL_PINNED:
                backend = _deaf(backend)
            loaded: Backend | None = _checked(backend()) if works else None
            for name, value in candidate.properties if loaded else ():
                setattr(loaded, name, value)
        except Exception as error:  # noqa: BLE001 - a module may fail to import in any way
            if candidate in _ALL_PINNED:
                return None
            name = f"{candidate.module}.{candidate.name}"
            raise ConfigError(f"keyring backend '{name}' cannot be loaded: {_summary(error)}") from None
        return loaded

    def _drop_first(self, why: str) -> None:
        """Go on to the next pinned backend; without one, there is no keyring for this process."""
        self._candidates.pop(0)
        self._backend = None
        self._why = self._why or why
        if not self._candidates:
            self._state = "absent"
            self.gone = self._why

    def _wait(self, running: Running[Answer]) -> Answer:
        """Wait for the answer; longer where a person is being asked to unlock the collection."""
        if not self._has_display():
            return running.wait(self._timeout)
        deadline = Deadline(self._timeout)
        try:
            return running.wait(deadline.left(self._timeout / 2))
        except LateError:
            if self._says_locked(deadline):
                return running.wait(self._until.left(UNLOCK_SECONDS))
            return running.wait(deadline.left())

    def _has_bus(self) -> bool:
        """Whether the first of our list can be there at all: the Secret Service is behind the session bus."""
        behind_bus = self._first is not None and self._first.module == SECRET_SERVICE
        return not behind_bus or bool(self._environ.get("DBUS_SESSION_BUS_ADDRESS"))

    def _asks_nobody(self, candidate: Pinned) -> bool:
        """Whether this one can be used as it is: what a person named, or cannot say it is open, may ask."""
        if candidate.module == SECRET_SERVICE:
            try:
                return within(self._timeout, _collection_is_locked) is False
            except Exception:  # noqa: BLE001 - no answer is not a yes
                return False
        return candidate in (*PINNED["darwin"], *PINNED["win32"])

    def _has_display(self) -> bool:
        return sys.platform == "linux" and any(
            self._environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
        )

    def _says_locked(self, deadline: Deadline) -> bool:
        """Whether the Secret Service itself answers, in the time left, that its collection is locked."""
        if self._candidates[0].module != SECRET_SERVICE:
            return False
        try:
            return Running(_collection_is_locked).wait(deadline.left()) is True
        except Exception:  # noqa: BLE001 - no answer is not a yes
            return False


def _deaf(backend: Any) -> Any:
    """The class, deaf to KEYRING_PROPERTY_* variables: one of them can move items to another collection."""
    return type(backend.__name__, (backend,), {"set_properties_from_env": lambda _self: None})


def _checked(backend: Any) -> Backend:
    if not all(callable(getattr(backend, name, None)) for name in ("get_password", "set_password")):
        raise TypeError("it is no keyring backend")
    loaded: Backend = backend
    return loaded


def _start(question: Callable[[Backend], Answer], backend: Backend) -> Running[Answer]:
    return Running(lambda: question(backend))


def _collection_is_locked() -> bool:
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        # Not get_default_collection: where there is none, it asks the person to make one.
        return bool(secretstorage.Collection(connection).is_locked())
    finally:
        connection.close()


def _is_absent(error: Exception) -> bool:
    """Whether this desktop has no such service, so that another one may be asked."""
    return any(
        type(cause).__name__ == "SecretServiceNotAvailableException" for cause in (error, error.__cause__)
    )


def _is_locked(error: Exception) -> bool:
    """Whether it stays shut: nobody can be asked to open it, or they would not."""
    from keyring.errors import InitError, KeyringLocked

    return isinstance(error, (InitError, KeyringLocked)) and not _is_absent(error)


def _summary(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(".")
