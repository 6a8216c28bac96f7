"""The OS keyring: which one, whether it keeps what it is given, and what tries to stand in for it."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Final

from credhelper.doctor.agent import switched_off
from credhelper.doctor.findings import fine, note, problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.cache.keyring import State
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit

GROUP: Final = "keyring.backends"
"""The entry points by which packages offer themselves to the keyring library."""

_ADVICE: Final[dict[State, str]] = {
    "locked": "unlock it, for example by logging in to the desktop",
    "silent": "end the keyring's daemon (gnome-keyring-daemon on GNOME); the next use starts another one",
    "absent": "start a Secret Service (gnome-keyring, KWallet), or leave it at the agent's memory",
    "unwanted": "CREDHELPER_KEYRING and 'backend' in [keyring] say which one is used",
}


def state(visit: Visit) -> Iterator[Finding]:
    """Open, locked, absent or silent. Nobody is asked to unlock it, and nobody waited for."""
    probe = visit.app.store.probe()
    if probe.state == "open":
        yield fine("keyring", f"'{probe.backend}' keeps what it is given")
        return
    memory = "sessions are kept in the agent's memory alone"
    outcome = "every call mints anew" if switched_off(visit.app) else memory
    say = problem if probe.state == "silent" else note  # the others may be as their owner wants them
    yield say("keyring", f"no keyring is used ({probe.why}): {outcome}", _ADVICE[probe.state])


def rivals(visit: Visit) -> Iterator[Finding]:
    """What the keyring library would follow, and credhelper does not."""
    environ = visit.app.environ
    said = "credhelper does not follow it, other programs do"
    for package, names in _plugins().items():
        yield note(
            "keyring",
            f"package '{package}' offers a keyring of its own ({', '.join(names)}): {said}",
            f"remove it, unless another program needs it: 'pip uninstall {package}'",
        )
    for name in sorted(environ):
        if name == "PYTHON_KEYRING_BACKEND" or name.startswith("KEYRING_PROPERTY_"):
            yield note("keyring", f"{name} is set: {said}", f"unset {name}, unless another program needs it")
    path = _settings(environ)
    if os.path.lexists(path):
        yield note("keyring", f"'{path}' names a keyring: {said}", "remove it, unless it is yours")


def _plugins() -> dict[str, list[str]]:
    """The backends that packages offer besides keyring's own. None of them is loaded."""
    found: dict[str, list[str]] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        package = (entry.dist and entry.dist.name) or "unknown"
        if package.lower() != "keyring":
            found.setdefault(package, []).append(entry.value)
    return found


def _settings(environ: Mapping[str, str]) -> str:
    """The file that tells the keyring library which backend to load, and from where."""
    if local := environ.get("LOCALAPPDATA"):
        return os.path.join(local, "Python Keyring", "keyringrc.cfg")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "python_keyring", "keyringrc.cfg")
