"""items.jsonl: what we have put into the keyring, because a keyring cannot be listed.

One line an item, written before the item itself, so that nothing is ever in there that nobody knows of.
Nothing in it is secret. The latest line of a key counts. Saved keys have lines of their own kind, which
neither a sweep nor a clear ever sees.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from credhelper import paths
from credhelper.credentials import LAST_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from credhelper.cache.locks import Locks
    from credhelper.log import Log

LOCK = "items"
LOCK_SECONDS = 5.0
SPARE_LINES = 100
MAXIMUM_PARTS = 1024
"""Parts of one item at most: Store neither writes nor reads more."""


@dataclass(frozen=True)
class Item:
    """A session in the keyring: the KEY of its call, for whom it was minted, and when it expires (epoch)."""

    key: str
    profile: str
    kind: str
    expires: int
    parts: int


@dataclass(frozen=True)
class SavedKey:
    """An access key in the keyring, by its name: whose it is, as far as AWS was asked, since when (epoch)."""

    name: str
    access_key_id: str
    account: str | None
    arn: str | None
    saved: int
    kind: Literal["key"] = "key"

    @property
    def key(self) -> str:
        """What its line replaces."""
        return f"key:{self.name}"


@dataclass(frozen=True)
class Rotation:
    """The rotation of a saved key, while it is under way: the key that goes, and AWS's clock then (epoch)."""

    name: str
    replaces: str
    began: int
    kind: Literal["rotation"] = "rotation"

    @property
    def key(self) -> str:
        """What its line replaces."""
        return f"rotation:{self.name}"


Entry = Item | SavedKey | Rotation

_KINDS: Final[dict[object, type[SavedKey | Rotation]]] = {"key": SavedKey, "rotation": Rotation}


class Index:
    """The file, and the lock that its rewriting needs."""

    def __init__(self, path: str, locks: Locks, log: Log) -> None:
        self._path = path
        self._locks = locks
        self._log = log

    def items(self) -> list[Item]:
        """The sessions, a key once, with the most parts that it ever had."""
        return [entry for entry in self._entries() if isinstance(entry, Item)]

    def saved_keys(self) -> list[SavedKey]:
        """The saved keys."""
        return [entry for entry in self._entries() if isinstance(entry, SavedKey)]

    def rotations(self) -> list[Rotation]:
        """What was begun and is not at its end."""
        return [entry for entry in self._entries() if isinstance(entry, Rotation)]

    def _entries(self) -> list[Entry]:
        found: dict[str, Entry] = {}
        for line in paths.read_lines(self._path):
            entry = _parse(line)
            if entry is None:
                continue
            before = found.pop(entry.key, entry)
            if isinstance(entry, Item) and isinstance(before, Item):
                entry = replace(entry, parts=max(before.parts, entry.parts))
            found[entry.key] = entry
        return list(found.values())

    def mentions(self, key: str) -> bool:
        """Whether the keyring can have an item of this KEY at all; much quicker than asking it."""
        return any(key in line for line in paths.read_lines(self._path))

    def add(self, entry: Entry) -> bool:
        """Write an entry down; False where it cannot be, and then it must not be stored."""
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                paths.append_line(self._path, json.dumps(asdict(entry)))
        except OSError as error:
            self._log.warning(f"the index of keyring items cannot be written: {error.strerror or error}")
            return False
        return True

    @contextlib.contextmanager
    def guard(self, item: Item) -> Iterator[bool]:
        """Hold the lock under which this item's KEY is minted; yields whether it may be deleted now."""
        with self._locks.hold(item.key, 0) as held:
            yield (held or not self._locks.usable) and item in self.items()

    def compact(self) -> None:
        """Drop the lines that later ones of the same KEY have replaced, once they are many."""
        lines = len(paths.read_lines(self._path))
        if lines > SPARE_LINES + 2 * len(self._entries()):
            self._rewrite(set())

    def remove(self, gone: Iterable[Entry]) -> None:
        """Strike entries out; one that has been added anew in the meantime stays."""
        struck = set(gone)
        if struck:
            self._rewrite(struck)

    def _rewrite(self, struck: set[Entry]) -> None:
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                left = [entry for entry in self._entries() if entry not in struck]
                paths.replace_private(self._path, "".join(f"{json.dumps(asdict(entry))}\n" for entry in left))
        except OSError as error:
            self._log.warning(f"the index of keyring items cannot be rewritten: {error.strerror or error}")


def _parse(line: str) -> Entry | None:
    try:
        document = json.loads(line)
        kind = document.get("kind")
        entry: Entry = (_KINDS.get(kind, Item) if isinstance(kind, str) else Item)(**document)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def _is_sound(entry: Entry) -> bool:
    if isinstance(entry, Item):
        texts: tuple[object, ...] = (entry.key, entry.profile, entry.kind)
        return _are_texts(texts) and _is_moment(entry.expires) and _within(1, entry.parts, MAXIMUM_PARTS)
    if isinstance(entry, Rotation):
        return _are_texts((entry.name, entry.replaces)) and _is_moment(entry.began)
    texts = (entry.name, entry.access_key_id, entry.account or "", entry.arn or "")
    return _are_texts(texts) and _is_moment(entry.saved)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) and value.isprintable() for value in values)


def _is_moment(value: object) -> bool:
    return _within(0, value, LAST_SECOND)


def _within(low: int, value: object, high: int) -> bool:
    return type(value) is int and low <= value <= high
