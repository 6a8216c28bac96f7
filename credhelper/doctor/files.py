"""Our files: whether the configuration is valid, and whether anybody else could write what we read."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from typing import TYPE_CHECKING

from credhelper import app, paths
from credhelper.awsconfig import profiles
from credhelper.doctor.findings import fine, note, problem, trouble
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit


def configuration(visit: Visit) -> Iterator[Finding]:
    """Found, and valid as a whole; its profiles are looked at one by one elsewhere."""
    try:
        config = visit.app.config
        accounts = len(config.accounts)
    except ConfigError as error:
        yield trouble("config", error)
        return
    if not config.names:
        yield note("config", f"'{config.path}' has no profiles yet", "add one: its comments show how")
        return
    yield fine("config", f"'{config.path}' is read: profiles: {len(config.names)}, accounts: {accounts}")


def modes(visit: Visit) -> Iterator[Finding]:
    """Files 0600, directories 0700, all of them ours; what is POSIX's of it, on Windows nothing."""
    wrong = list(_modes(visit))
    yield from wrong
    if not wrong:
        yield fine("modes", "what is read and written is this user's alone to write")


def _modes(visit: Visit) -> Iterator[Finding]:
    places = visit.app.places
    runtime = app.agent_directory(visit.app.environ)
    for path in (os.path.dirname(places.config), places.config):
        yield from _read_from(path)
    for path in _aws_files(visit):
        yield from _read_from(path, ours=False)
    if not paths.may_write_in(places.state):
        yield problem(
            "modes",
            f"'{places.state}' is no directory of this user's: no session is recorded or kept in the keyring",
            "run credhelper as the user whose home this is, or with a HOME of your own",
        )
        return
    for written in (places.state, places.audit, places.items, places.log, runtime):
        if written is not None and os.path.lexists(written):
            yield from _written_to(written)
    yield from _room(places.state)


def _aws_files(visit: Visit) -> tuple[str, ...]:
    try:
        files = profiles.read(visit.app.environ)
    except ConfigError:  # said by the check of these files
        return ()
    return files.config_path, files.credentials_path


def _read_from(path: str, *, ours: bool = True) -> Iterator[Finding]:
    """Whoever can write what we read has commands run by us."""
    if sys.platform == "win32":
        return
    try:
        status = os.stat(path)
    except OSError:  # said by the check of the file
        return
    mode = stat.S_IMODE(status.st_mode)
    mend = f"run 'chmod {'go=' if ours else 'go-w'} {shlex.quote(path)}'"
    outcome = f"(mode {mode:o}), who could have commands run by you"
    if status.st_uid not in (os.geteuid(), 0):
        yield problem(
            "modes",
            f"'{path}' belongs to another user, who can have commands run by you",
            "use a file of your own: CREDHELPER_CONFIG and AWS_CONFIG_FILE name one",
        )
    elif mode & stat.S_IWOTH:
        yield problem("modes", f"'{path}' can be written by others {outcome}", mend)
    elif mode & stat.S_IWGRP:  # often a group of this user alone
        yield note("modes", f"'{path}' can be written by its group {outcome}", mend)
    elif ours and stat.S_ISREG(status.st_mode) and mode & 0o077:
        yield note("modes", f"'{path}' can be read by others (mode {mode:o})", mend)


def _written_to(path: str) -> Iterator[Finding]:
    """What we write: we close it ourselves, so whatever is open was opened since."""
    if sys.platform == "win32":
        return
    status = os.lstat(path)
    mode, quoted = stat.S_IMODE(status.st_mode), shlex.quote(path)
    if status.st_uid != os.geteuid():
        mend = f"give it back: 'sudo chown {os.geteuid()} {quoted}'"
        yield problem("modes", f"'{path}' belongs to another user, and is not used", mend)
    elif mode & 0o077:
        yield problem("modes", f"'{path}' is open to others (mode {mode:o})", f"run 'chmod go= {quoted}'")


def _room(state: str) -> Iterator[Finding]:
    """Whether a line of the record can be written."""
    if sys.platform == "win32":
        return
    while not os.path.isdir(state):
        state = os.path.dirname(state)
    if not os.access(state, os.W_OK):
        yield problem(
            "modes",
            f"'{state}' cannot be written: no session is recorded",
            f"run 'chmod u+w {shlex.quote(state)}'",
        )
    elif os.statvfs(state).f_bavail == 0:
        yield problem("modes", f"the disk of '{state}' is full: no session is recorded", "make room on it")
