"""Prints which installed packages differ from constraints.txt: `python drift.py constraints.txt`."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def drifted(constraints: Iterable[str]) -> Iterator[str]:
    """A line for every package that is installed here in another version than the pinned one."""
    for line in constraints:
        pinned = Requirement(line)
        if pinned.marker and not pinned.marker.evaluate():
            continue
        try:
            found = metadata.version(pinned.name)
        except metadata.PackageNotFoundError:  # of an extra, or of the AWS CLI's venv
            continue
        if found not in pinned.specifier:
            yield f"drift: {pinned.name} {found} is out; constraints.txt has {pinned.specifier}"


if __name__ == "__main__":
    lines = list(drifted(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()))
    print("\n".join(lines) or "drift: constraints.txt has the newest versions")
