"""`setup`: write profiles into ~/.aws/config that run credhelper."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from credhelper import doctor
from credhelper.awsconfig import block, command, conflicts, profiles
from credhelper.awsconfig import file as config_file
from credhelper.awsconfig.conflicts import Conflict
from credhelper.awsconfig.ini import IniFile
from credhelper.awsconfig.plan import SetupOptions, asked_for, chosen, planned
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_account, complete_profile
from credhelper.cli.output import emit
from credhelper.config.template import STARTER
from credhelper.errors import ConfigError, printable
from credhelper.run.batch import BatchRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from credhelper.app import App
    from credhelper.awsconfig.block import Entry
    from credhelper.awsconfig.plan import Plan
    from credhelper.cache.locks import FileLocks
    from credhelper.doctor import Finding

LOCK_SECONDS: Final = 5.0

LISTED: Final = 20
"""How many profiles of one state are listed: an organization may have thousands of accounts."""

INSTALL: Final = "install credhelper with pipx or uv, and run 'credhelper setup' again"


@click.command("setup")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_profile)
@click.option(
    "--accounts",
    multiple=True,
    metavar="ID,...|@FILE|all",
    shell_complete=complete_account,
    help="Write one profile per account, for profiles without a target account.",
)
@click.option("--prefix", default="", metavar="TEXT", help="Put TEXT before the names in ~/.aws/config.")
@click.option("--dry-run", is_flag=True, help="Print the changes; write nothing.")
@click.option("--remove", "removing", is_flag=True, help="Remove the profiles NAME; without NAME, all.")
def setup(
    names: tuple[str, ...], *, accounts: tuple[str, ...], prefix: str, dry_run: bool, removing: bool
) -> None:
    """Write a profile that runs credhelper into ~/.aws/config, for each NAME.

    The profiles are in a block between two comments; nothing outside it changes. With NAME, other profiles in
    the block stay as they are. Without NAME, setup writes every profile of config.toml and updates those
    already in the block. A profile without a target account needs one: use PROFILE@ACCOUNT or --accounts.

    If there is no config.toml, setup writes a template for it instead. --remove restores the file as it was;
    if that would lose something you have written, a copy is kept next to the file.

    \b
    Examples:
      credhelper setup --dry-run
      credhelper setup developer unlock-bucket
      credhelper setup audit-root --accounts payments-prod,111122223333
      credhelper setup --remove developer
    """
    if removing and accounts:
        raise click.UsageError("--remove takes names: PROFILE@ACCOUNT, or PROFILE for all its accounts")
    options = SetupOptions(names, accounts, prefix, dry_run)
    app = open_app()
    emit((_remove(app, options) if removing else _write(app, options)).encode())


def _write(app: App, options: SetupOptions) -> str:
    """Write profiles into the block; returns the report. Raises CredhelperError with the file unchanged."""
    if not os.path.exists(app.places.config):
        return _write_template(app.places.config, options)
    config, environ = app.config, app.environ
    asked = asked_for(config, options, lambda name: _targets(app, options, name))
    program = command.stable_program(_directories(), lambda path: command.answers_version(path, environ))
    with _locked(app.locks, options):
        file = config_file.read(profiles.config_path(environ))
        credentials = config_file.read(profiles.credentials_path(environ))
        plan = planned(config, options, asked, block.block_entries(file), program)
        content = block.with_block(file, plan.entries)
        if options.dry_run:
            return _difference(file, content)
        backup = config_file.replace(file, content, config_file.reads_config)
    found = conflicts.find_conflicts(IniFile(file.path, content), credentials, plan.made, environ)
    warnings = [*_about_program(program, environ), *plan.doubts, *found]
    return _lines(
        f"'{file.path}' runs '{' '.join(program)}' for:",
        *_states(plan, asked.left_out),
        *_about_backup(backup),
        *(line for each in warnings for line in (f"warning: {each.sentence}", f"  hint: {each.hint}")),
        *_verdict(doctor.quick(app, plan.profiles), warnings),
        f"next: aws sts get-caller-identity --profile {next(iter(plan.made))}",
    )


def _remove(app: App, options: SetupOptions) -> str:
    """Remove profiles from the block, or the block; returns the report. Raises CredhelperError."""
    with _locked(app.locks, options):
        file = config_file.read(profiles.config_path(app.environ))
        before = block.block_entries(file)
        removed = chosen(before, options, file.path) if options.names else before
        names = {entry.name for entry in removed}
        content = block.with_block(file, [entry for entry in before if entry.name not in names])
        if options.dry_run:
            return _difference(file, content)
        if content == file.text:
            return _lines(f"'{file.path}' has no credhelper profiles")
        backup = config_file.replace(file, content, config_file.reads_config)
    return _lines(f"removed from '{file.path}':", *_listed("removed", removed), *_about_backup(backup))


def _locked(locks: FileLocks, options: SetupOptions) -> AbstractContextManager[object]:
    """Keep other setups away from the file; a dry run needs no lock."""
    return contextlib.nullcontext() if options.dry_run else locks.hold("setup", LOCK_SECONDS)


def _write_template(path: str, options: SetupOptions) -> str:
    """Write a template of config.toml. Raises ConfigError for NAME: the template has no profiles."""
    file, text = IniFile(path, b"", exists=False), STARTER.encode()
    if options.dry_run:
        return _difference(file, text)
    config_file.replace(file, text, lambda _path: True)
    if options.names:
        raise ConfigError(
            f"no profile '{options.names[0]}' in '{path}'",
            "setup has just written that file as a template: fill it in, and run the command again",
        )
    return _lines(
        f"'{path}' has been written as a template",
        "next: fill it in, and run 'credhelper setup' again to write its profiles into ~/.aws/config",
    )


def _directories() -> list[str]:
    """Where the program may be installed: the PATH, then the directory of this process's program."""
    here = (os.path.dirname(os.path.abspath(path)) for path in (sys.argv[0], sys.executable))
    return [*os.environ.get("PATH", os.defpath).split(os.pathsep), *here]


def _targets(app: App, options: SetupOptions, name: str) -> list[str]:
    """The aliases (or ids) of the accounts that --accounts selects for a profile. Raises CredhelperError."""
    config = app.config
    profile = config.open_profile(name)
    picked = BatchRun(app, lambda: app.planner().call(profile)).accounts(profile, options.accounts, ())
    return [config.account_name(each.id) or each.id for each in picked]


def _lines(*each: str) -> str:
    return "".join(printable(line) + "\n" for line in each)


def _difference(file: IniFile, content: bytes) -> str:
    return config_file.difference(file, content) or _lines("nothing would change")


def _states(plan: Plan, left_out: Iterable[str]) -> Iterator[str]:
    """A line for each profile: new, changed, unchanged or left out."""
    states: dict[str, list[Entry]] = {"new": [], "changed": [], "unchanged": []}
    for name, entry in plan.made.items():
        before = plan.before.get(name)
        states["new" if before is None else "unchanged" if entry == before else "changed"].append(entry)
    for state, entries in states.items():
        yield from _listed(state, entries)
    for name in left_out:
        yield f"  left out   {name}: it needs accounts: 'credhelper setup {name} --accounts ID,...'"


def _listed(state: str, entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries[:LISTED]:
        yield f"  {state:9}  {entry.name}"
    if len(entries) > LISTED:
        yield f"  {state:9}  ... and {len(entries) - LISTED} more"


def _about_backup(backup: str | None) -> list[str]:
    return [] if backup is None else [f"the previous content is in '{backup}'"]


def _verdict(findings: Iterable[Finding], warnings: Iterable[Conflict]) -> Iterator[str]:
    """The problems that doctor finds, without those already reported as warnings."""
    known = {each.sentence for each in warnings}
    problems = [each for each in findings if each.level == "problem"]
    yield f"doctor: {len(problems) or 'no'} {'problem' if len(problems) == 1 else 'problems'}"
    for each in problems:
        if each.sentence not in known:
            yield f"  {each.profile or each.check}: {each.sentence}"
            yield from (f"    hint: {hint}" for hint in each.hints if hint)


def _about_program(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[Conflict]:
    """Why the command may not work later, or in other programs."""
    if not os.path.isabs(program[0]):
        yield Conflict(f"only programs with '{program[0]}' on their PATH will find it", INSTALL)
    elif not command.is_stable(program[0]):
        wrong = f"'{program[0]}' may go away: it is in a virtual environment, a version or a shim directory"
        yield Conflict(wrong, INSTALL)
    if environ.get("CREDHELPER_CONFIG"):
        wrong = "CREDHELPER_CONFIG is set: programs without it read another config.toml"
        yield Conflict(wrong, "set it for all of them")
