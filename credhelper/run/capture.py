"""Commands whose output is captured: many at a time, up to a limit, and ended together.

Each leads a session of its own: it shares no terminal with the others, and ends with what it has started.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from credhelper.errors import CredhelperError
from credhelper.processes import KILL, signal_group
from credhelper.run.command import cannot_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OUTPUT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of each output that are kept; the rest is read and dropped."""

BLOCK: Final = 65536
AFTERWARDS: Final = 1.0
"""Seconds that the background processes of an ended command may still write."""


@dataclass(frozen=True)
class Captured:
    """Exit status, 128+n for signal n, and output of a command; `cut` if there was more output."""

    status: int
    stdout: bytes
    stderr: bytes
    cut: bool


class Commands:
    """The commands that run now, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ending = False

    def run(self, program: str, words: Sequence[str], environ: Mapping[str, str]) -> Captured:
        """Run a command to its end. Raises CredhelperError after `end`, and if it cannot be run."""
        process = self._start(program, words, environ)
        outputs = [_Output(stream) for stream in (process.stdout, process.stderr) if stream]
        self._finish(process, outputs)
        code = process.returncode
        stdout, stderr = (bytes(output.kept) for output in outputs)
        cut = any(output.cut for output in outputs)
        return Captured(128 - code if code < 0 else code, stdout, stderr, cut)

    def end(self, number: int) -> None:
        """Send a signal to all commands and what they have started; no new command begins."""
        with self._lock:
            self._ending = True
            for process in self._running:
                signal_group(process, number)

    def _start(
        self, program: str, words: Sequence[str], environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._ending:
                raise CredhelperError("interrupted")
            try:
                process = subprocess.Popen(
                    [*words],
                    executable=program,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                )
            except OSError as error:
                raise cannot_run(words[0], error) from None
            self._running.add(process)
            return process

    def _finish(self, process: subprocess.Popen[bytes], outputs: list[_Output]) -> None:
        """Wait for the end. On Linux the process id stays taken until it cannot be signalled any more."""
        if sys.platform != "linux":
            process.wait()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        over = [output.is_over(AFTERWARDS) for output in outputs]
        with self._lock:
            if self._ending or not all(over):
                signal_group(process, KILL)
            self._running.discard(process)
            process.wait()
        for output in outputs:
            output.close()


class _Output:
    """One output of a command, read to its end in a thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.kept = bytearray()
        self.cut = False
        self._stream = stream
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for block in self._blocks():
            left = OUTPUT_LIMIT - len(self.kept)
            self.kept += block[:left]
            self.cut = self.cut or len(block) > left

    def _blocks(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(self._stream.fileno(), BLOCK):
                yield block

    def is_over(self, seconds: float) -> bool:
        """Whether all is read, after at most this time."""
        self._reader.join(seconds)
        return not self._reader.is_alive()

    def close(self) -> None:
        """Close it, unless a process in another session still holds the other end."""
        if self.is_over(AFTERWARDS):
            self._stream.close()
