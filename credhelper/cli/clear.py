"""`clear`: delete cached sessions, and report until when AWS still accepts them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from credhelper import expiry
from credhelper.cli.context import agent_admin, cached_sessions, open_app
from credhelper.cli.options import complete_profile
from credhelper.cli.output import emit
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from credhelper.app import App
    from credhelper.cache.index import Item
    from credhelper.cli.context import CachedSession


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
    agent, now, stuck = agent_admin(app), expiry.read_clocks().wall, None
    try:
        _, remembered = agent.status() or (None, [])
    except CredhelperError as error:
        stuck, remembered = error, []  # raised below: the keyring is cleared first
    sessions = cached_sessions(app.store, remembered, now)
    keys = _keys(app, names, sessions) if names and sessions else set()
    chosen = [each for each in sessions if not names or each.key in keys or _is_labelled(each, names)]
    for name in names:
        if not any(_is_labelled(each, (name,)) for each in sessions):
            app.config.check_known(name)
    if stuck is None:
        agent.clear({*names, *keys, *(each.key for each in chosen)} if names else ())
    cleared = keys | {each.key for each in chosen}
    # Read again: the keyring may have got a session minted in the meantime.
    stored = [i for i in app.store.items() if not names or i.key in cleared or _is_labelled(i, names)]
    left = app.store.forget(stored)
    if stuck is not None:
        raise stuck
    forgotten: list[CachedSession | Item] = [*chosen, *(item for item in stored if item.key not in cleared)]
    if left:
        raise CredhelperError(
            f"the keyring did not delete {len(left)} of {len(forgotten)} items",
            f"unlock it and run the command again; its error is in '{app.places.log}'",
        )
    return "".join(_report(each) for each in forgotten if each.expires > now) or "nothing was cached\n"


def _is_labelled(item: CachedSession | Item, names: tuple[str, ...]) -> bool:
    """Whether it was minted for one of the names; PROFILE includes every PROFILE@TARGET."""
    return any(item.profile == name or item.profile.startswith(f"{name}@") for name in names)


def _keys(app: App, names: tuple[str, ...], sessions: list[CachedSession]) -> set[str]:
    """The KEYs of the profiles, on every account that has a cached session.

    Another profile that makes the same call may have minted the session, so labels are not enough.
    """
    found = set()
    planner = None
    for name in (*names, *(f"{name}@{target}" for name in names for target in _targets(app, sessions))):
        with contextlib.suppress(CredhelperError):  # no longer in the file, or without a source
            planner = planner or app.planner()
            found.add(planner.call(app.config.profile(name)).key)
    return found


def _targets(app: App, sessions: list[CachedSession]) -> set[str]:
    """The accounts that a session may be cached for: from labels, [accounts] and profiles."""
    targets = {each.profile.partition("@")[2] for each in sessions}
    with contextlib.suppress(ConfigError):
        targets |= set(app.config.accounts)
        for table in app.config.table("profiles").values():
            target = str(table.get("target_principal", "")) if isinstance(table, dict) else ""
            targets.add(target.split(":")[4] if target.count(":") == 5 else target)
    return targets - {""}


def _report(item: CachedSession | Item) -> str:
    return (
        f"{item.profile}: forgotten here; AWS cannot revoke the session, it works until {utc(item.expires)}\n"
    )
