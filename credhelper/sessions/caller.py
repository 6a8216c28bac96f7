"""The command under way: its clock, its log, its user, and the program that made an SDK run it."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.credentials import Clocks
    from credhelper.deadline import Deadline
    from credhelper.log import Log

Node = tuple[str, str]
"""A step of a chain: the file that a profile is in, and its name."""

CHAIN: Final = "CREDHELPER_CHAIN"
"""The variable in which credhelper tells the processes that it starts which profiles wait for them."""

SHELLS: Final = frozenset(["sh", "bash", "dash", "zsh", "fish", "ksh", "tcsh", "busybox"])
CREDHELPER: Final = re.compile(r"credhelper(-get)?(\.exe)?")
ANCESTORS: Final = 12


@dataclass(frozen=True)
class Requester:
    """The program that requests a session, and its process id."""

    program: str
    pid: int


@dataclass(frozen=True)
class CallerContext:
    """What every part of one command needs to know about it.

    `program` is the name of this process where it requests the session itself; otherwise the requester is
    looked for among its ancestors.
    """

    environ: Mapping[str, str]
    log: Log
    deadline: Deadline
    started: Clocks
    program: str = ""

    @property
    def path(self) -> tuple[Node, ...]:
        """The profiles of other credhelper processes that wait for this one."""
        return read_path(self.environ.get(CHAIN, ""))

    @cached_property
    def user(self) -> str:
        """The login name."""
        return user(self.environ)

    @property
    def requester(self) -> Requester:
        """The program that requests the session."""
        return Requester(self.program, os.getpid()) if self.program else Requester(*asking_program())


def read_path(text: str) -> tuple[Node, ...]:
    """The path in the text of CREDHELPER_CHAIN; empty where the text is no path."""
    try:
        return tuple((str(file), str(name)) for file, name in json.loads(text or "[]"))
    except (ValueError, TypeError, RecursionError):
        return ()


def write_path(path: tuple[Node, ...]) -> str:
    """The path as the value of CREDHELPER_CHAIN."""
    return json.dumps(path)


def user(environ: Mapping[str, str]) -> str:
    """The login name, from the system's user database or else from the environment."""
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
    """The name and process id of the nearest ancestor that is neither a shell nor credhelper."""
    pid = os.getppid()
    for _ in range(ANCESTORS):
        found = _process(pid)
        if found is None:
            break
        name, arguments, parent = found
        own = any(CREDHELPER.fullmatch(os.path.basename(argument)) for argument in (name, *arguments[:2]))
        if not own and name not in SHELLS:
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
    name = printable(os.fsdecode(before.partition(b"(")[2]))  # a program chooses its name freely
    return name, arguments, int(after.split()[1])
