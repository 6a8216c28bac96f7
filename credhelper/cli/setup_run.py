"""`setup`: profiles in ~/.aws/config that run credhelper; where there is no configuration, one to begin with.

`plan` says what the block will hold, `words` what the person is told.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from credhelper import doctor
from credhelper.awsconfig import block, command, conflicts, profiles
from credhelper.awsconfig import file as config_file
from credhelper.awsconfig.ini import IniFile
from credhelper.awsconfig.plan import SetupOptions, asked_for, chosen, planned
from credhelper.cli import setup_words
from credhelper.cli.setup_targets import targets
from credhelper.config.template import STARTER
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from credhelper.app import App

__all__ = ["SetupOptions", "remove", "setup"]

LOCK_SECONDS: Final = 5.0


def setup(app: App, options: SetupOptions, directories: Iterable[str]) -> str:
    """Write profiles into the block; returns what to tell the person.

    `directories` are those in which to look for the program. Raises CredhelperError, and has not touched
    ~/.aws/config then.
    """
    if not os.path.exists(app.places.config):
        return _begin(app.places.config, options)
    config, environ = app.config, app.environ
    asked = asked_for(config, options, lambda name: targets(app, options, name))
    program = command.stable_program(directories, lambda path: command.answers_version(path, environ))
    with _alone(app, options):
        file = config_file.read(profiles.config_path(environ))
        credentials = config_file.read(profiles.credentials_path(environ))
        plan = planned(config, options, asked, block.block_entries(file), program)
        content = block.with_block(file, plan.entries)
        if options.dry_run:
            return setup_words.difference(file, content)
        kept = config_file.replace(file, content, config_file.reads_config)
    rivals = conflicts.find_conflicts(IniFile(file.path, content), credentials, plan.made, environ)
    doubts = [*setup_words.about(program, environ), *plan.doubts, *rivals]
    return setup_words.lines(
        f"'{file.path}' runs '{' '.join(program)}' for:",
        *setup_words.states(plan, asked.left_out),
        *setup_words.keeping(kept),
        *setup_words.warnings(doubts),
        *setup_words.verdict(doctor.quick(app, plan.profiles), doubts),
        f"next: aws sts get-caller-identity --profile {next(iter(plan.made))}",
    )


def remove(app: App, options: SetupOptions) -> str:
    """Take profiles out of the block, without names the block itself; returns what to tell the person.

    Raises CredhelperError, and has not touched ~/.aws/config then.
    """
    with _alone(app, options):
        file = config_file.read(profiles.config_path(app.environ))
        there = block.block_entries(file)
        gone = chosen(there, options, file.path) if options.names else there
        names = {entry.name for entry in gone}
        content = block.with_block(file, [entry for entry in there if entry.name not in names])
        if options.dry_run:
            return setup_words.difference(file, content)
        if content == file.text:
            return setup_words.lines(f"'{file.path}' has no profile of credhelper's")
        kept = config_file.replace(file, content, config_file.reads_config)
    return setup_words.lines(
        f"'{file.path}' is without:", *setup_words.listed("removed", gone), *setup_words.keeping(kept)
    )


def _alone(app: App, options: SetupOptions) -> AbstractContextManager[object]:
    """With no other setup at the file meanwhile."""
    return contextlib.nullcontext() if options.dry_run else app.locks.hold("setup", LOCK_SECONDS)


def _begin(path: str, options: SetupOptions) -> str:
    """Write the configuration to begin with, which has no profile yet: where one is asked for, exit 2."""
    file, text = IniFile(path, b"", exists=False), STARTER.encode()
    if options.dry_run:
        return setup_words.difference(file, text)
    config_file.replace(file, text, lambda _path: True)
    if options.names:
        raise ConfigError(
            f"no profile '{options.names[0]}' in '{path}'",
            "that file was written just now, as a page to fill in: do that, and run the command again",
        )
    return setup_words.lines(
        f"'{path}' was written, as a page to fill in",
        "next: do that, and run 'credhelper setup' again: its profiles become profiles of ~/.aws/config",
    )
