"""The calls of Windows and of macOS that keyring's own backends make, with the real ones' limits.

keyring's classes and ours are the real ones; only the operating system is made up.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_FOUND = 1168
BAD_STUB_DATA = 1783
BLOB_BYTES = 5 * 512
"""CRED_MAX_CREDENTIAL_BLOB_SIZE."""

ITEM_NOT_FOUND = -25300
KEYCHAIN_DENIED = -128
NO_INTERACTION = -25308
DUPLICATE_ITEM = -25299


class WindowsError(Exception):
    """pywintypes.error: not one of keyring's own errors."""

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        super().__init__(winerror, funcname, strerror)
        self.winerror, self.funcname, self.strerror = winerror, funcname, strerror


class CredentialManager(ModuleType):
    """Windows Credential Manager as win32ctypes.pywin32.win32cred shows it."""

    CRED_TYPE_GENERIC = 1
    CRED_PERSIST_SESSION = 1
    CRED_PERSIST_LOCAL_MACHINE = 2
    CRED_PERSIST_ENTERPRISE = 3

    def __init__(self) -> None:
        super().__init__("win32ctypes.pywin32.win32cred")
        self.credentials: dict[str, dict[str, Any]] = {}

    def CredRead(self, TargetName: str, Type: int) -> dict[str, Any]:
        assert Type == self.CRED_TYPE_GENERIC
        if TargetName not in self.credentials:
            raise WindowsError(NOT_FOUND, "CredRead", "Element not found")
        return dict(self.credentials[TargetName])

    def CredWrite(self, credential: dict[str, Any], flags: int) -> None:
        assert flags == 0
        assert credential["Persist"] in (1, 2, 3)
        blob = credential["CredentialBlob"].encode("utf-16-le")
        if len(blob) > BLOB_BYTES:
            raise WindowsError(BAD_STUB_DATA, "CredWrite", "The stub received bad data")
        self.credentials[credential["TargetName"]] = {**credential, "CredentialBlob": blob}

    def CredDelete(self, TargetName: str, Type: int) -> None:
        assert Type == self.CRED_TYPE_GENERIC
        if self.credentials.pop(TargetName, None) is None:
            raise WindowsError(NOT_FOUND, "CredDelete", "Element not found")


class Keychain(ModuleType):
    """keyring.backends.macOS.api over a dictionary; `refuses` is the status of every call from then on."""

    class Error(Exception):
        """What the framework answers, by its status."""

    class NotFound(Error):
        """errSecItemNotFound."""

    class KeychainDenied(Error):
        """The person clicked Deny, or Cancel."""

    def __init__(self) -> None:
        super().__init__("keyring.backends.macOS.api")
        self.items: dict[tuple[str, str], str] = {}
        self.refuses = 0
        self.another_was_quicker = False

    def _raise_for(self, status: int) -> None:
        if status == ITEM_NOT_FOUND:
            raise self.NotFound(status, "Item not found")
        if status == KEYCHAIN_DENIED:
            raise self.KeychainDenied(status, "Keychain Access Denied")
        if status:
            raise self.Error(status, "Unknown Error")

    def find_generic_password(self, _: str | None, service: str, username: str) -> str:
        self._raise_for(self.refuses or (0 if (service, username) in self.items else ITEM_NOT_FOUND))
        return self.items[service, username]

    def set_generic_password(self, name: str | None, service: str, username: str, password: str) -> None:
        with suppress(self.NotFound):
            self.delete_generic_password(name, service, username)
        if self.another_was_quicker:
            self.items[service, username] = "another's"
        self._raise_for(self.refuses or (DUPLICATE_ITEM if (service, username) in self.items else 0))
        self.items[service, username] = password.partition("\0")[0]  # it travels as a C string

    def delete_generic_password(self, _: str | None, service: str, username: str) -> None:
        self._raise_for(self.refuses or (0 if (service, username) in self.items else ITEM_NOT_FOUND))
        del self.items[service, username]


@contextmanager
def windows() -> Iterator[CredentialManager]:
    """keyring's Windows backend, imported over a Credential Manager of its own."""
    manager = CredentialManager()
    pywintypes = ModuleType("win32ctypes.pywin32.pywintypes")
    pywintypes.error = WindowsError  # type: ignore[attr-defined]
    package = ModuleType("win32ctypes.pywin32")
    package.pywintypes, package.win32cred = pywintypes, manager  # type: ignore[attr-defined]
    modules = (ModuleType("win32ctypes"), package, pywintypes, manager)
    with _imported("keyring.backends.Windows", {module.__name__: module for module in modules}):
        yield manager


@contextmanager
def macos() -> Iterator[Keychain]:
    """keyring's macOS backend, imported over a keychain of its own."""
    keychain = Keychain()
    with _imported("keyring.backends.macOS", {keychain.__name__: keychain}):
        yield keychain


@contextmanager
def _imported(backend: str, fakes: dict[str, ModuleType]) -> Iterator[None]:
    """Import a backend afresh over fakes, and put everything back afterwards."""
    names = [
        name for name in sys.modules if name == backend or name.startswith((f"{backend}.", "win32ctypes"))
    ]
    before = {name: sys.modules.pop(name) for name in names}
    package, _, attribute = backend.rpartition(".")
    parent = importlib.import_module(package)
    was = parent.__dict__.get(attribute)
    sys.modules.update(fakes)
    try:
        importlib.import_module(backend)
        yield
    finally:
        for name in (backend, *fakes):
            sys.modules.pop(name, None)
        sys.modules.update(before)
        parent.__dict__.pop(attribute, None)
        if was is not None:
            parent.__dict__[attribute] = was
