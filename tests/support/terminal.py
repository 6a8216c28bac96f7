"""A user at a terminal or in front of dialogs: what programs show, and what the user answers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox import Sandbox

DIALOGS = Path(__file__).with_name("fake_dialogs.py")


class Terminal:
    """A program on a terminal of its own, in whose foreground it runs."""

    def __init__(self, sandbox: Sandbox, command: Iterable[str], **environ: str) -> None:
        words = list(command)
        self.shown = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(sandbox.home)
            os.execvpe(words[0], words, {**sandbox.environ, "COLUMNS": "80", **environ})

    def sees(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until it is on the screen, below what was seen before."""
        ends, before = time.monotonic() + seconds, len(self.shown)
        while not (found := re.compile(pattern).search(self.shown)):
            assert time.monotonic() < ends, f"{pattern!r} is not to be seen: {self.shown!r}"
            assert self._read(ends - time.monotonic()), f"{pattern!r} never came: {self.shown!r}"
        self.shown = self.shown[found.end() :] if before >= 0 else self.shown
        return found

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], max(0.0, seconds))[0]:
            return True
        with suppress(OSError):  # EIO: the other end is closed
            block = os.read(self._terminal, 4096)
            self.shown += block.decode("latin-1")
            return bool(block)
        return False

    def types(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    def leaves(self, seconds: float = 90) -> tuple[int, str]:
        """The program's exit status when it has ended, and what else it has shown."""
        ends = time.monotonic() + seconds
        while self._read(ends - time.monotonic()):
            if time.monotonic() > ends:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(self.shown)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.shown


class Dialogs:
    """A display without a terminal, and a fake pinentry that does what the test says."""

    def __init__(self, sandbox: Sandbox, *acts: str) -> None:
        self._place = sandbox.home / "person"
        self._place.mkdir()
        program = self._place / "pinentry"
        program.write_text(f"#!{sys.executable} -IS\n{DIALOGS.read_text()}")
        program.chmod(0o755)
        self.does(*acts)
        (self._place / "saw").write_text("")
        sandbox.environ |= {
            "PATH": f"{self._place}:{sandbox.environ['PATH']}",
            "FAKE_PERSON": str(self._place),
            "DISPLAY": ":0",
        }

    def does(self, *acts: str) -> None:
        """What they do at each dialog, the last one again and again."""
        (self._place / "does").write_text("".join(act + "\n" for act in acts))

    @property
    def saw(self) -> list[dict[str, Any]]:
        """The dialogs that were shown."""
        return [json.loads(line) for line in (self._place / "saw").read_text().splitlines()]
