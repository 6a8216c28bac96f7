"""A disk of its own for a test, where mounting is permitted."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def as_root(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root, where that takes no password."""
    sudo = ["sudo", "-n"] if os.geteuid() else []
    try:
        return subprocess.run([*sudo, *command], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def fill(directory: Path) -> None:
    """Leave not a byte free."""
    with suppress(OSError), (directory / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
