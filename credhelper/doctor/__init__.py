"""Whether this machine is fit to give out credentials, and what to do about each thing that is not.

Each file here has the checks of one matter: functions from a visit to findings. They look and do not touch:
without `probe`, nothing is minted that needs a person or is privileged. What AWS does not let us look at is a
note; a check that fails or does not come to its end is a finding like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credhelper.deadline import Deadline
from credhelper.doctor import agent, aws_files, files, keyring, profiles, source
from credhelper.doctor import probe as doctor_probe
from credhelper.doctor.findings import Finding
from credhelper.doctor.runner import Visit, walk
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.app import App
    from credhelper.doctor.runner import Round

__all__ = ["Finding", "examine", "quick"]

SECONDS: Final = 15.0
"""Time for everything, whatever hangs."""

QUICK_SECONDS: Final = 8.0

_FILES: Final[Round] = (("config", files.configuration), ("modes", files.modes), ("agent", agent.state))
_AWS: Final[Round] = (
    ("aws files", aws_files.files),
    ("commands", aws_files.commands),
    ("aws", aws_files.aws_cli),
)
_KEYRING: Final[Round] = (("keyring", keyring.state), ("keyring", keyring.rivals))
_PROFILES: Final[Round] = (("profile", profiles.calls),)
_NETWORK: Final[Round] = (("source", source.checks), ("probe", doctor_probe.checks))


def examine(app: App, names: Iterable[str], *, probe: bool = False) -> list[Finding]:
    """All checks, for these profiles or (no names) for every one.

    Raises ConfigError for a name that the configuration does not have.
    """
    visit = _visit(app, names, SECONDS, probe=probe)
    _check_known(visit)
    return walk(visit, (_FILES, _AWS, (*_KEYRING, *_PROFILES, *_NETWORK)))


def quick(app: App, names: Iterable[str] = ()) -> list[Finding]:
    """The checks that take no network and mint nothing: what `setup` ends with."""
    return walk(_visit(app, names, QUICK_SECONDS), (_FILES, _AWS, (*_KEYRING, *_PROFILES)))


def _check_known(visit: Visit) -> None:
    loaded = visit.app.loaded
    if isinstance(loaded, ConfigError):
        return
    for name in visit.names:
        if name.partition("@")[0] not in loaded.names:
            loaded.profile(name)


def _visit(app: App, names: Iterable[str], seconds: float, *, probe: bool = False) -> Visit:
    return Visit(app, tuple(names), Deadline(app.caller.deadline.left(seconds)), probe)
