"""Checks of the machine, the files, the profiles and their sources, with a hint for each problem.

Each module has checks of one subject: functions from an Examination to findings. Without `probe` they mint
nothing that prompts or is privileged. What AWS does not show to the caller is a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credhelper.deadline import Deadline
from credhelper.doctor import aws_files, machine, profiles, source
from credhelper.doctor import probe as doctor_probe
from credhelper.doctor.findings import Finding
from credhelper.doctor.runner import Examination, run_checks
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.app import App
    from credhelper.doctor.runner import CheckGroup

__all__ = ["Finding", "examine", "quick"]

SECONDS: Final = 15.0
"""Time for all checks, whatever hangs."""

QUICK_SECONDS: Final = 8.0

_MACHINE: Final[CheckGroup] = (
    ("config", machine.configuration),
    ("modes", machine.modes),
    ("agent", machine.agent),
)
_AWS: Final[CheckGroup] = (
    ("aws files", aws_files.files),
    ("commands", aws_files.commands),
    ("aws", aws_files.aws_cli),
)
_PROFILES: Final[CheckGroup] = (("keyring", machine.keyring), ("profile", profiles.calls))
_NETWORK: Final[CheckGroup] = (("source", source.checks), ("probe", doctor_probe.checks))


def examine(app: App, names: Iterable[str], *, probe: bool = False) -> list[Finding]:
    """All checks, for these profiles or (no names) for every one. Raises ConfigError for an unknown name."""
    examination = _examination(app, names, SECONDS, probe=probe)
    for name in () if isinstance(app.loaded, ConfigError) else examination.names:
        app.config.check_known(name)
    return run_checks(examination, (_MACHINE, _AWS, (*_PROFILES, *_NETWORK)))


def quick(app: App, names: Iterable[str] = ()) -> list[Finding]:
    """The checks that need no network and mint nothing; `setup` runs them."""
    return run_checks(_examination(app, names, QUICK_SECONDS), (_MACHINE, _AWS, _PROFILES))


def _examination(app: App, names: Iterable[str], seconds: float, *, probe: bool = False) -> Examination:
    return Examination(app, tuple(names), Deadline(app.caller.deadline.left(seconds)), probe)
