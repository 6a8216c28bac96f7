"""What the person is told: lines of printable ASCII, whatever they quote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from credhelper.awsconfig import command
from credhelper.awsconfig import file as config_file
from credhelper.awsconfig.conflicts import Conflict
from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from credhelper.awsconfig.block import Entry
    from credhelper.awsconfig.ini import IniFile
    from credhelper.awsconfig.plan import Plan
    from credhelper.doctor import Finding

LISTED: Final = 20
"""How many profiles in one state are named: an organization may have thousands of accounts."""

INSTALL: Final = "install credhelper with pipx or uv, and run 'credhelper setup' again"


def lines(*each: str) -> str:
    """The lines as one text."""
    return "".join(printable(line) + "\n" for line in each)


def difference(file: IniFile, content: bytes) -> str:
    """What a dry run says."""
    return config_file.difference(file, content) or lines("nothing would change")


def states(plan: Plan, left_out: Iterable[str]) -> Iterator[str]:
    """What became of each profile."""
    new = [entry for name, entry in plan.made.items() if name not in plan.before]
    same = [entry for name, entry in plan.made.items() if entry == plan.before.get(name)]
    names = {entry.name for entry in (*new, *same)}
    yield from listed("new", new)
    yield from listed("changed", [entry for name, entry in plan.made.items() if name not in names])
    yield from listed("unchanged", same)
    for name in left_out:
        yield f"  left out   {name}: it needs accounts: 'credhelper setup {name} --accounts ID,...'"


def listed(state: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Profiles that are in the same state."""
    for entry in entries[:LISTED]:
        yield f"  {state:9}  {entry.name}"
    if len(entries) > LISTED:
        yield f"  {state:9}  ... and {len(entries) - LISTED} more"


def keeping(kept: str | None) -> Iterator[str]:
    """Where the copy is, if there is one."""
    if kept is not None:
        yield f"what it held before is in '{kept}'"


def warnings(found: Iterable[Conflict]) -> Iterator[str]:
    """What stands in the way, and what to do about it."""
    for each in found:
        yield f"warning: {each.sentence}"
        yield f"  hint: {each.hint}"


def verdict(findings: Iterable[Finding], told: Iterable[Conflict]) -> Iterator[str]:
    """What the doctor says, without what has been told already."""
    known = {each.sentence for each in told}
    problems = [each for each in findings if each.level == "problem"]
    yield f"doctor: {len(problems) or 'no'} {'problem' if len(problems) == 1 else 'problems'}"
    for each in problems:
        if each.sentence not in known:
            yield f"  {each.profile or each.check}: {each.sentence}"
            yield from (f"    hint: {hint}" for hint in each.hints if hint)


def about(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[Conflict]:
    """What may keep the command from working later, or elsewhere."""
    if not os.path.isabs(program[0]):
        yield Conflict(f"'{program[0]}' is found only by programs that have it on their PATH", INSTALL)
    elif not command.is_stable(program[0]):
        wrong = f"'{program[0]}' may not stay there: it is in a virtual environment, a version or a shim"
        yield Conflict(wrong, INSTALL)
    if environ.get("CREDHELPER_CONFIG"):
        wrong = "CREDHELPER_CONFIG is set, and programs that do not have it find another configuration"
        yield Conflict(wrong, "set it for all of them")
