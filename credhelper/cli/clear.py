"""`clear`: delete cached sessions, and report until when AWS still accepts them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from credhelper import expiry
from credhelper.cache.index import Item
from credhelper.cli.context import agent_admin, open_app
from credhelper.cli.options import complete_profile
from credhelper.cli.output import emit
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from credhelper.agent.admin import AgentAdmin
    from credhelper.app import App


@click.command("clear")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_profile)
@click.option("--all", "everything", is_flag=True, help="Every session, shared MFA sessions included.")
def clear(names: tuple[str, ...], *, everything: bool) -> None:
    """Delete the cached credentials of the profiles NAME.

    Profiles that make the same call share a session and are cleared together. Saved keys are kept, and so are
    MFA sessions that several roles share, unless --all is given.

    AWS cannot revoke a session: it works until it expires. clear prints when that is.

    \b
    Examples:
      credhelper clear developer
      credhelper clear audit-root@payments-prod
      credhelper clear --all
    """
    if bool(names) == everything:
        raise click.UsageError("name the profiles to clear, or use --all")
    emit(_clear(open_app(), names).encode())


def _clear(app: App, names: tuple[str, ...]) -> str:
    """Delete the sessions of these profiles, or (no names) all; returns the report."""
    agent, stored = agent_admin(app), app.store.items()
    stuck, items = None, [*stored]
    try:
        items += _only_in_agent(agent, {item.key for item in stored})
    except CredhelperError as error:
        stuck = error  # raised below: the keyring is cleared first
    keys = _keys(app, names, items) if names and items else set()
    chosen = [item for item in items if not names or item.key in keys or _is_labelled(item, names)]
    for name in names:
        if not any(_is_labelled(item, (name,)) for item in items):
            _check_known(app, name)
    if stuck is None:
        agent.clear({*names, *keys, *(item.key for item in chosen)} if names else ())
    cleared = keys | {item.key for item in chosen}
    # Read again: the keyring may have got a session minted in the meantime.
    stored = [i for i in app.store.items() if not names or i.key in cleared or _is_labelled(i, names)]
    left = app.store.forget(stored)
    chosen += [item for item in stored if item.key not in cleared]
    if stuck is not None:
        raise stuck
    if left:
        raise CredhelperError(
            f"the keyring did not delete {len(left)} of {len(chosen)} items",
            f"unlock it and run the command again; its error is in '{app.places.log}'",
        )
    now = expiry.read_clocks().wall
    return "".join(map(_report, (item for item in chosen if item.expires > now))) or "nothing was cached\n"


def _only_in_agent(agent: AgentAdmin, stored: set[str]) -> list[Item]:
    status, now = agent.status(), expiry.read_clocks().wall
    remembered = [each for each in (status[1] if status else ()) if each.key not in stored]
    return [Item(each.key, each.profile, "", round(now + each.seconds), 0) for each in remembered]


def _is_labelled(item: Item, names: tuple[str, ...]) -> bool:
    """Whether it was minted for one of the names; PROFILE includes every PROFILE@TARGET."""
    return any(item.profile == name or item.profile.startswith(f"{name}@") for name in names)


def _keys(app: App, names: tuple[str, ...], items: list[Item]) -> set[str]:
    """The KEYs of the profiles, on every account that has a cached session.

    Another profile that makes the same call may have minted the session, so labels are not enough.
    """
    found = set()
    planner = None
    for name in (*names, *(f"{name}@{target}" for name in names for target in _targets(app, items))):
        with contextlib.suppress(CredhelperError):  # no longer in the file, or without a source
            planner = planner or app.planner()
            found.add(planner.call(app.config.profile(name)).key)
    return found


def _targets(app: App, items: list[Item]) -> set[str]:
    """The accounts that a session may be cached for: from labels, [accounts] and profiles."""
    targets = {item.profile.partition("@")[2] for item in items}
    with contextlib.suppress(ConfigError):
        targets |= set(app.config.accounts)
        for table in app.config.table("profiles").values():
            target = str(table.get("target_principal", "")) if isinstance(table, dict) else ""
            targets.add(target.split(":")[4] if target.count(":") == 5 else target)
    return targets - {""}


def _check_known(app: App, name: str) -> None:
    if name.partition("@")[0] not in app.config.names:
        app.config.profile(name)


def _report(item: Item) -> str:
    return (
        f"{item.profile}: forgotten here; AWS cannot revoke the session, it works until {utc(item.expires)}\n"
    )
