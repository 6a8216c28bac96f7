"""credhelper.log: non-fatal errors, such as a cache that cannot be written.

SDKs merge stderr into the answer or show it as the whole error, so it has to stay empty.
"""

from __future__ import annotations

import os
import time

from credhelper import paths
from credhelper.credentials import utc
from credhelper.errors import printable


class Log:
    """Writes lines to the log file. It never raises."""

    def __init__(self, path: str, *, debug: bool = False) -> None:
        self._path = path
        self._debug = debug

    def warning(self, text: str) -> None:
        """Log a non-fatal error."""
        self._write("warning", text)

    def debug(self, text: str) -> None:
        """Log a step, where CREDHELPER_LOG=debug."""
        if self._debug:
            self._write("debug", text)

    def _write(self, level: str, text: str) -> None:
        line = f"{utc(time.time())} {os.getpid()} {level}: {printable(text)}"
        try:
            paths.rotate(self._path)
            paths.append_line(self._path, line)
        except OSError:
            pass  # there is no other place to report it
