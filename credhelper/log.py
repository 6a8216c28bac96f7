"""credhelper.log: what went wrong without stopping anybody, because stderr must stay empty.

SDKs merge stderr into the answer or show it as the whole error, so a cache that cannot be written or a
mint that failed while an older credential still served is said here.
"""

from __future__ import annotations

import os
import time

from credhelper import paths
from credhelper.credentials import utc
from credhelper.errors import printable


class Log:
    """Writes lines to the log file; nothing about it can fail."""

    def __init__(self, path: str, *, debug: bool = False) -> None:
        self._path = path
        self._debug = debug

    def warning(self, text: str) -> None:
        """Something a person may want to know."""
        self._write("warning", text)

    def debug(self, text: str) -> None:
        """A step on the way, written where CREDHELPER_LOG=debug."""
        if self._debug:
            self._write("debug", text)

    def _write(self, level: str, text: str) -> None:
        line = f"{utc(time.time())} {os.getpid()} {level}: {printable(text)}"
        try:
            paths.rotate(self._path)
            paths.append_line(self._path, line)
        except OSError:
            pass  # there is nowhere left to say it
