"""Credentials in the OS keyring, under the KEY of the call that minted them, and saved keys under their name.

A value longer than the keyring holds is cut into parts. The first part, written last, has their number, the
length and the digest of the whole with its name: a part that is missing, older, damaged or from another item
makes a miss, never a wrong credential.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.cache.index import MAXIMUM_PARTS, Index, Item
from credhelper.cache.keyring import KeyringStatus, NoKeyringError, OsKeyring
from credhelper.credentials import AccessKey, Credentials

if TYPE_CHECKING:
    from credhelper.log import Log

FORMAT: Final = "credhelper/1"
SWEEP_AT_MOST: Final = 10
"""Expired items deleted at one mint, so that the sweep never makes a mint slow."""


class Store:
    """Sessions and saved keys in the keyring; a keyring that fails has neither."""

    def __init__(self, keyring: OsKeyring, index: Index, log: Log) -> None:
        self._keyring = keyring
        self._index = index
        self._log = log
        self._has_warned = False

    def can_keep(self) -> bool:
        """Whether there is a keyring to write to. Raises ConfigError."""
        usable = self._keyring.is_there()
        if not usable and not self._has_warned:
            self._has_warned = True
            self._log.warning(f"not cached: {self._keyring.gone}")
        return usable

    def probe(self) -> KeyringStatus:
        """The state of the keyring, found by its use, without a dialog. Raises ConfigError."""
        return self._keyring.probe()

    def status(self) -> KeyringStatus:
        """The state of the keyring as it says itself. Raises ConfigError."""
        return self._keyring.status()

    def get(self, key: str) -> Credentials | None:
        """The credentials stored under a KEY."""
        if not self._index.mentions(key):
            return None
        text = self._read(_service(key))
        return None if text is None else Credentials.from_json(text)

    @property
    def index(self) -> Index:
        """The list of what is in the keyring."""
        return self._index

    def saved_key(self, name: str) -> AccessKey | None:
        """The long-lived access key saved under a name.

        Some keyrings replace an item by deleting it first: until it is written, its successor counts.
        """
        try:
            return self.read_key(name) or self.read_key(successor(name))
        except NoKeyringError as error:
            self._log.debug(f"no keyring: {error}")
            return None

    def read_key(self, name: str) -> AccessKey | None:
        """The key of exactly this name. Raises NoKeyringError."""
        try:
            document = json.loads(self._load(_key_service(name)) or "")
            return AccessKey(document["AccessKeyId"], document["SecretAccessKey"])
        except (ValueError, KeyError, TypeError):
            return None

    def save_key(self, name: str, access_key: AccessKey) -> None:
        """Save a key in one item, of at most 500 characters. Raises NoKeyringError."""
        document = {"AccessKeyId": access_key.access_key_id, "SecretAccessKey": access_key.secret_access_key}
        service, text = _key_service(name), json.dumps(document)
        self._keyring.set(service, f"{_header(service, 1, text)}\n{text}")

    def delete_key(self, name: str) -> None:
        """Delete a key; one that is not there is fine. Raises NoKeyringError."""
        self._keyring.delete(_key_service(name))

    def put(self, key: str, credentials: Credentials, *, profile: str, kind: str) -> bool:
        """Store credentials, listed in the index first; False on failure."""
        if self._keyring.gone is not None:
            self._log.warning(f"not cached: {self._keyring.gone}")
            return False
        service = _service(key)
        parts = self._cut(service, credentials.to_json())
        if len(parts) > MAXIMUM_PARTS:
            self._log.warning(f"not cached: {len(parts)} parts are more than this keyring is asked to hold")
            return False
        expires = int(credentials.expiration - credentials.skew)  # as this machine's clock will show it
        item = Item(key, profile, kind, expires, len(parts))
        return self._index.add(item) and self._write(service, parts)

    def sweep(self) -> None:
        """Delete some of what has expired."""
        if self._keyring.gone is not None:
            return
        now = expiry.read_clocks().wall
        expired = [item for item in self.items() if item.expires <= now]
        for item in expired[:SWEEP_AT_MOST]:
            # Under the lock of its KEY: another process may be minting its successor.
            with self._index.guard(item) as unchanged:
                if unchanged:
                    self.forget([item])
        self._index.compact()

    def items(self) -> list[Item]:
        """What is, or was, in the keyring."""
        return self._index.items()

    def forget(self, items: list[Item]) -> list[Item]:
        """Delete items; returns those that could not be deleted, which stay in the index."""
        done: list[Item] = []
        for item in items:
            try:
                # The first part goes first: without it the others mean nothing.
                for part in range(item.parts):
                    self._keyring.delete(_service(item.key, part))
            except NoKeyringError as error:
                self._log.warning(f"cannot delete from the keyring: {error}")
                break
            done.append(item)
        self._index.remove(done)
        return items[len(done) :]

    def _cut(self, service: str, text: str) -> list[str]:
        size = self._keyring.part_size or sys.maxsize
        first = size - len(_header(service, MAXIMUM_PARTS, text)) - 1
        rest = [text[start : start + size] for start in range(first, len(text), size)]
        return [f"{_header(service, len(rest) + 1, text)}\n{text[:first]}", *rest]

    def _write(self, service: str, parts: list[str]) -> bool:
        try:
            for number in reversed(range(len(parts))):
                self._keyring.set(service if number == 0 else f"{service}.{number}", parts[number])
        except NoKeyringError as error:
            self._log.warning(f"not cached: {error}")
            return False
        return True

    def _read(self, service: str) -> str | None:
        try:
            return self._load(service)
        except NoKeyringError as error:
            self._log.debug(f"no keyring: {error}")
            return None

    def _load(self, service: str) -> str | None:
        """The whole of an item; None where it is missing or damaged. Raises NoKeyringError."""
        head = self._keyring.get(service)
        header, _, text = (head or "").partition("\n")
        try:
            parts = int(header.split(" ")[1])
        except (ValueError, IndexError):
            return None
        for number in range(1, min(parts, MAXIMUM_PARTS)):
            part = self._keyring.get(f"{service}.{number}")
            if part is None:
                return None
            text += part
        return text if parts > 0 and header == _header(service, parts, text) else None


def _header(service: str, parts: int, text: str) -> str:
    """The header in the first part. The digest covers the name: another item's parts are a miss."""
    digest = hashlib.sha256(f"{service}\n{text}".encode()).hexdigest()
    return f"{FORMAT} {parts} {len(text)} {digest}"


def _service(key: str, part: int = 0) -> str:
    return f"credhelper:{key}" if part == 0 else f"credhelper:{key}.{part}"


def successor(name: str) -> str:
    """The name of the key that is about to replace another one; no saved key can have it."""
    return f"{name}:next"


def _key_service(name: str) -> str:
    return f"credhelper key:{name}"
