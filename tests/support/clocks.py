"""Clocks that a test sets, for the processes that it starts: libfaketime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requirements

if TYPE_CHECKING:
    from pathlib import Path

SETTLED = 5
"""Seconds by which the clock is always ahead, so that the configuration is old enough for hits."""


@dataclass
class Clock:
    """The clock of every process that is started with `environ`, and by how many seconds it was set.

    Only the wall clock jumps, unless `all_clocks` do: then the one since boot jumps with it, as it does when
    a machine has slept.
    """

    file: Path
    all_clocks: bool = False
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.jump(0)
        self.environ = {
            "LD_PRELOAD": requirements.faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "DONT_FAKE_MONOTONIC": "0" if self.all_clocks else "1",
        }

    def jump(self, ahead: int) -> None:
        """Set the clock to a number of seconds after its start, for all processes at once."""
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{ahead + SETTLED:+d}\n")
        beside.replace(self.file)
