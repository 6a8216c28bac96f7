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
from credhelper.awsconfig.plan import Wish, asked_for, chosen, planned
from credhelper.cli import setup_words
from credhelper.cli.setup_targets import targets
from credhelper.config.template import STARTER
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from credhelper.app import House

__all__ = ["Wish", "remove", "setup"]

LOCK_SECONDS: Final = 5.0


def setup(house: House, wish: Wish, directories: Iterable[str]) -> str:
    """Write profiles into the block; returns what to tell the person.

    `directories` are those in which to look for the program. Raises CredhelperError, and has not touched
    ~/.aws/config then.
    """
    if not os.path.exists(house.places.config):
        return _begin(house.places.config, wish)
    config, environ = house.config, house.environ
    asked = asked_for(config, wish, lambda name: targets(house, wish, name))
    program = command.stable_program(directories, lambda path: command.answers_version(path, environ))
    with _alone(house, wish):
        file = config_file.read(profiles.config_path(environ))
        credentials = config_file.read(profiles.credentials_path(environ))
        plan = planned(config, wish, asked, block.block_entries(file), program)
        content = block.with_block(file, plan.entries)
        if wish.dry_run:
            return setup_words.difference(file, content)
        kept = config_file.replace(file, content, config_file.reads_config)
    rivals = conflicts.neighbours(IniFile(file.path, content), credentials, plan.made, environ)
    doubts = [*setup_words.about(program, environ), *plan.doubts, *rivals]
    return setup_words.lines(
        f"'{file.path}' runs '{' '.join(program)}' for:",
        *setup_words.states(plan, asked.left_out),
        *setup_words.keeping(kept),
        *setup_words.warnings(doubts),
        *setup_words.verdict(doctor.quick(house, plan.profiles), doubts),
        f"next: aws sts get-caller-identity --profile {next(iter(plan.made))}",
    )


def remove(house: House, wish: Wish) -> str:
    """Take profiles out of the block, without names the block itself; returns what to tell the person.

    Raises CredhelperError, and has not touched ~/.aws/config then.
    """
    with _alone(house, wish):
        file = config_file.read(profiles.config_path(house.environ))
        there = block.block_entries(file)
        gone = chosen(there, wish, file.path) if wish.names else there
        names = {entry.name for entry in gone}
        content = block.with_block(file, [entry for entry in there if entry.name not in names])
        if wish.dry_run:
            return setup_words.difference(file, content)
        if content == file.text:
            return setup_words.lines(f"'{file.path}' has no profile of credhelper's")
        kept = config_file.replace(file, content, config_file.reads_config)
    return setup_words.lines(
        f"'{file.path}' is without:", *setup_words.listed("removed", gone), *setup_words.keeping(kept)
    )


def _alone(house: House, wish: Wish) -> AbstractContextManager[object]:
    """With no other setup at the file meanwhile."""
    return contextlib.nullcontext() if wish.dry_run else house.locks.hold("setup", LOCK_SECONDS)


def _begin(path: str, wish: Wish) -> str:
    """Write the configuration to begin with, which has no profile yet: where one is asked for, exit 2."""
    file, text = IniFile(path, b"", exists=False), STARTER.encode()
    if wish.dry_run:
        return setup_words.difference(file, text)
    config_file.replace(file, text, lambda _path: True)
    if wish.names:
        raise ConfigError(
            f"no profile '{wish.names[0]}' in '{path}'",
            "that file was written just now, as a page to fill in: do that, and run the command again",
        )
    return setup_words.lines(
        f"'{path}' was written, as a page to fill in",
        "next: do that, and run 'credhelper setup' again: its profiles become profiles of ~/.aws/config",
    )
