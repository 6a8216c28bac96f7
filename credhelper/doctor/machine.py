"""Checks of this machine: config.toml, the modes of files, the agent, and the OS keyring."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from typing import TYPE_CHECKING, Final

from credhelper import paths, wire
from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.awsconfig import profiles
from credhelper.doctor.findings import fine, from_error, note, problem
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.app import App
    from credhelper.cache.keyring import State
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Examination

RESTART_AGENT: Final = "run 'credhelper agent stop': the next caller starts the new one"

_KEYRING_HINTS: Final[dict[State, str]] = {
    "locked": "unlock it, for example by logging in to the desktop",
    "silent": "end the keyring's daemon (gnome-keyring-daemon on GNOME); the next use starts it again",
    "absent": "start a Secret Service (gnome-keyring, KWallet), or rely on the agent's memory",
    "unwanted": "CREDHELPER_KEYRING and 'backend' in [keyring] select the keyring",
}


def configuration(examination: Examination) -> Iterator[Finding]:
    """Whether config.toml is valid as a whole; other checks look at its profiles."""
    try:
        config = examination.app.config
        accounts = len(config.accounts)
    except ConfigError as error:
        yield from_error("config", error)
        return
    if not config.names:
        yield note("config", f"'{config.path}' has no profiles yet", "add one: its comments show how")
        return
    yield fine("config", f"'{config.path}' is read: profiles: {len(config.names)}, accounts: {accounts}")


def modes(examination: Examination) -> Iterator[Finding]:
    """Whether another user can change what credhelper reads, or read what it writes; POSIX only."""
    wrong = list(_modes(examination.app))
    yield from wrong
    if not wrong:
        yield fine("modes", "only this user can change the files that credhelper reads and writes")


def _modes(app: App) -> Iterator[Finding]:
    places = app.places
    for path in (os.path.dirname(places.config), places.config):
        yield from _read_from(path)
    for path in _aws_files(app):
        yield from _read_from(path, private=False)
    if not paths.may_write_in(places.state):
        yield problem(
            "modes",
            f"'{places.state}' is no directory of this user's: no session is recorded or kept in the keyring",
            "run credhelper as the user whose home this is, or set HOME",
        )
        return
    runtime = agent_directory(app.environ)
    for written in (places.state, places.audit, places.items, places.log, runtime):
        if written is not None and os.path.lexists(written):
            yield from _written_to(written)
    yield from _writable(places.state)


def _aws_files(app: App) -> tuple[str, ...]:
    try:
        files = profiles.read(app.environ)
    except ConfigError:  # the check of these files reports it
        return ()
    return files.config_path, files.credentials_path


def _read_from(path: str, *, private: bool = True) -> Iterator[Finding]:
    """Another user who can write what credhelper reads can have it run commands."""
    if sys.platform == "win32":
        return
    try:
        status = os.stat(path)
    except OSError:  # the check of the file reports it
        return
    mode = stat.S_IMODE(status.st_mode)
    fix = f"run 'chmod {'go=' if private else 'go-w'} {shlex.quote(path)}'"
    outcome = f"(mode {mode:o}), who could have commands run by you"
    if status.st_uid not in (os.geteuid(), 0):
        yield problem(
            "modes",
            f"'{path}' belongs to another user, who can have commands run by you",
            "use a file of your own: CREDHELPER_CONFIG and AWS_CONFIG_FILE name one",
        )
    elif mode & stat.S_IWOTH:
        yield problem("modes", f"'{path}' can be written by others {outcome}", fix)
    elif mode & stat.S_IWGRP:  # often a group of this user alone
        yield note("modes", f"'{path}' can be written by its group {outcome}", fix)
    elif private and stat.S_ISREG(status.st_mode) and mode & 0o077:
        yield note("modes", f"'{path}' can be read by others (mode {mode:o})", fix)


def _written_to(path: str) -> Iterator[Finding]:
    """credhelper creates these closed to others, so a wrong mode was set later."""
    if sys.platform == "win32":
        return
    status = os.lstat(path)
    mode, quoted = stat.S_IMODE(status.st_mode), shlex.quote(path)
    if status.st_uid != os.geteuid():
        fix = f"take it back: 'sudo chown {os.geteuid()} {quoted}'"
        yield problem("modes", f"'{path}' belongs to another user, and is not used", fix)
    elif mode & 0o077:
        yield problem("modes", f"'{path}' is open to others (mode {mode:o})", f"run 'chmod go= {quoted}'")


def _writable(state: str) -> Iterator[Finding]:
    """Whether the audit log can be written."""
    if sys.platform == "win32":
        return
    while not os.path.isdir(state):
        state = os.path.dirname(state)
    if not os.access(state, os.W_OK):
        fix = f"run 'chmod u+w {shlex.quote(state)}'"
        yield problem("modes", f"'{state}' cannot be written: no session is recorded", fix)
    elif os.statvfs(state).f_bavail == 0:
        yield problem("modes", f"the disk of '{state}' is full: no session is recorded", "free some space")


def agent(examination: Examination) -> Iterator[Finding]:
    """Whether the agent is on, has a directory, answers, and is up to date."""
    app = examination.app
    if why := agent_off(app):
        sentence = f"{why}: a cached answer takes longer, and nothing is minted ahead of need"
        yield note("agent", sentence, 'set mode = "auto" in [agent], unless something speaks against it')
        return
    directory = agent_directory(app.environ)
    if directory is None:
        yield problem(
            "agent",
            "there is no place for the agent's socket: no private runtime directory of this user",
            "let XDG_RUNTIME_DIR name a directory of yours with mode 700",
        )
        return
    found = admin.AgentAdmin(directory).status()
    if found is None:
        yield fine("agent", "not running (starts on demand)")
    else:
        yield fine("agent", f"running, process {found[0]}, sessions: {len(found[1])}")
        yield from _outdated(directory, found[0])


def agent_off(app: App) -> str:
    """Why the agent is off; empty if it is on."""
    if sys.platform == "win32":
        return wire.NOT_HERE
    if chosen := app.environ.get("CREDHELPER_AGENT"):
        return "CREDHELPER_AGENT switches the agent off" if chosen == "off" else ""
    try:
        mode = app.config.option("agent", "mode")
    except ConfigError:
        return ""
    return "'mode' in [agent] switches the agent off" if mode == "off" else ""


def _outdated(directory: str, pid: int) -> Iterator[Finding]:
    """Whether the agent runs another program than the installed one."""
    ours = os.path.join(os.path.dirname(os.path.abspath(wire.__file__)), "__main__.py")
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = os.fsdecode(file.read(8192)).split("\0")
        began = os.stat(os.path.join(directory, wire.LOCK)).st_mtime  # the agent writes its pid into it
        installed = os.stat(wire.__file__).st_ctime
    except OSError:  # the agent has just exited, or this system has no /proc
        return
    theirs = next((word for word in words if word.endswith("__main__.py")), ours)
    if os.path.realpath(theirs) != os.path.realpath(ours):
        sentence = f"it was started by another installation of credhelper: '{theirs}'"
        yield note("agent", sentence, RESTART_AGENT)
    elif installed > began:
        yield note("agent", "it is older than the program, which was upgraded since", RESTART_AGENT)


def keyring(examination: Examination) -> Iterator[Finding]:
    """Whether the keyring is usable; the check neither unlocks it nor waits for it."""
    probe = examination.app.store.probe()
    if probe.state == "open":
        yield fine("keyring", f"'{probe.backend}' keeps what it is given")
        return
    memory = "sessions are kept in the agent's memory alone"
    outcome = "every call mints anew" if agent_off(examination.app) else memory
    report = problem if probe.state == "silent" else note  # the other states may be intended
    yield report("keyring", f"no keyring is used ({probe.why}): {outcome}", _KEYRING_HINTS[probe.state])
