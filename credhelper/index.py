"""items.jsonl: what we have put into the keyring, because a keyring cannot be listed.

One line an item, written before the item itself, so that nothing is ever in there that nobody knows of.
Nothing in it is secret. The latest line of a key counts.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from credhelper import paths
from credhelper.credentials import LAST_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from credhelper.journal import Journal
    from credhelper.locks import Locks

LOCK = "items"
LOCK_SECONDS = 5.0
SPARE_LINES = 100
MAXIMUM_PARTS = 1024
"""Parts of one item at most: Store neither writes nor reads more."""


@dataclass(frozen=True)
class Item:
    """An item of the keyring: the KEY of its call, for whom it was minted, and when it expires (epoch)."""

    key: str
    profile: str
    kind: str
    expires: int
    parts: int


class Index:
    """The file, and the lock that its rewriting needs."""

    def __init__(self, path: str, locks: Locks, journal: Journal) -> None:
        self._path = path
        self._locks = locks
        self._journal = journal

    def items(self) -> list[Item]:
        """What the file says, a key once, with the most parts that it ever had."""
        found: dict[str, Item] = {}
        for line in paths.read_lines(self._path):
            item = _parse(line)
            if item is None:
                continue
            before = found.pop(item.key, item)
            found[item.key] = Item(
                item.key, item.profile, item.kind, item.expires, max(before.parts, item.parts)
            )
        return list(found.values())

    def mentions(self, key: str) -> bool:
        """Whether the keyring can have an item of this KEY at all; much quicker than asking it."""
        return any(key in line for line in paths.read_lines(self._path))

    def add(self, item: Item) -> bool:
        """Write an item down; False where it cannot be, and then it must not be stored."""
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                paths.append_line(self._path, json.dumps(asdict(item)))
        except OSError as error:
            self._journal.warn(f"the index of keyring items cannot be written: {error.strerror or error}")
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
        if lines > SPARE_LINES + 2 * len(self.items()):
            self._rewrite(set())

    def remove(self, gone: Iterable[Item]) -> None:
        """Strike items out; one that has been added anew in the meantime stays."""
        struck = set(gone)
        if struck:
            self._rewrite(struck)

    def _rewrite(self, struck: set[Item]) -> None:
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                left = [item for item in self.items() if item not in struck]
                paths.replace_lines(self._path, [json.dumps(asdict(item)) for item in left])
        except OSError as error:
            self._journal.warn(f"the index of keyring items cannot be rewritten: {error.strerror or error}")


def _parse(line: str) -> Item | None:
    try:
        document = json.loads(line)
        item = Item(**document)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = all(isinstance(text, str) and text.isprintable() for text in (item.key, item.profile, item.kind))
    numbers = _within(0, item.expires, LAST_SECOND) and _within(1, item.parts, MAXIMUM_PARTS)
    return item if texts and numbers else None


def _within(low: int, value: object, high: int) -> bool:
    return type(value) is int and low <= value <= high
