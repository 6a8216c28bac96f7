"""Who is asking: the person, and the program that made an SDK run us."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELLS: Final = frozenset(["sh", "bash", "dash", "zsh", "fish", "ksh", "tcsh", "busybox"])
OURS: Final = re.compile(r"credhelper(-get)?(\.exe)?")
ANCESTORS: Final = 12


def user(environ: Mapping[str, str]) -> str:
    """The login name: the system's own where it knows, the environment's otherwise."""
    if sys.platform != "win32":
        import pwd

        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:  # an account that only a directory service knows
            pass
    return environ.get("USERNAME") or environ.get("USER") or "unknown"


def host(environ: Mapping[str, str]) -> str:
    """This machine's short name."""
    if sys.platform == "win32":
        return environ.get("COMPUTERNAME") or "unknown"
    return os.uname().nodename.split(".")[0] or "unknown"


def asking_program() -> tuple[str, int]:
    """The nearest ancestor that is neither a shell nor credhelper: its name and process id."""
    pid = os.getppid()
    for _ in range(ANCESTORS):
        found = _process(pid)
        if found is None:
            break
        name, arguments, parent = found
        ours = any(OURS.fullmatch(os.path.basename(argument)) for argument in (name, *arguments[:2]))
        if not ours and name not in SHELLS:
            return name, pid
        pid = parent
    return "", pid


def _process(pid: int) -> tuple[str, list[str], int] | None:
    """Name, arguments and parent of a process; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            before, _, after = file.read().rpartition(b")")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = os.fsdecode(file.read(4096)).split("\0")
    except OSError:
        return None
    name = printable(os.fsdecode(before.partition(b"(")[2]))  # any program may call itself anything
    return name, arguments, int(after.split()[1])
