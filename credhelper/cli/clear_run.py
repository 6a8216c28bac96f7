"""`clear`: forgetting sessions wherever they are cached, and saying until when they work all the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from credhelper import expiry
from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.cache.index import Item
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from credhelper.app import App


def clear(app: App, names: tuple[str, ...]) -> str:
    """Forget what is cached for these profiles, or for all (no names); returns what to tell the person."""
    running, stored = admin.AgentAdmin(agent_directory(app.environ)), app.store.items()
    stuck, items = None, [*stored]
    try:
        items += _remembered(running, {item.key for item in stored})
    except CredhelperError as error:
        stuck = error  # what the keyring has is forgotten all the same
    keys = _keys(app, names, items) if names and items else set()
    chosen = [item for item in items if not names or item.key in keys or _is_labelled(item, names)]
    for name in names:
        if not any(_is_labelled(item, (name,)) for item in items):
            _check_known(app, name)
    if stuck is None:
        running.clear({*names, *keys, *(item.key for item in chosen)} if names else ())
    gone = keys | {item.key for item in chosen}
    # Read anew: what was minted while we looked may have got into the keyring.
    stored = [i for i in app.store.items() if not names or i.key in gone or _is_labelled(i, names)]
    left = app.store.forget(stored)
    chosen += [item for item in stored if item.key not in gone]
    now = expiry.read_clocks().wall
    cleared = [item for item in chosen if item not in left]
    said = [_farewell(item) for item in cleared if item.expires > now]
    if stuck is not None:
        raise stuck
    if left:
        raise CredhelperError(
            f"the keyring did not let go of {len(left)} of {len(chosen)} items",
            f"unlock it and run the command again; '{app.places.log}' says what it said",
        )
    return "".join(line + "\n" for line in said or ["nothing was cached"])


def _remembered(running: admin.AgentAdmin, known: set[str]) -> list[Item]:
    """What only the agent has, as the index would say it."""
    status, now = running.status(), expiry.read_clocks().wall
    found = status[1] if status is not None else []
    return [
        Item(each.key, each.profile, "", round(now + each.seconds), 0)
        for each in found
        if each.key not in known
    ]


def _is_labelled(item: Item, names: tuple[str, ...]) -> bool:
    """Whether it was minted for one of them; `audit-root` stands for all its targets."""
    return any(item.profile == name or item.profile.startswith(f"{name}@") for name in names)


def _keys(app: App, names: tuple[str, ...], items: list[Item]) -> set[str]:
    """The KEYs of profiles, on every target that anything is cached for.

    Profiles that make the same call share an item, whoever it was minted for.
    """
    found = set()
    built = None
    for asked in (*names, *(f"{name}@{target}" for name in names for target in _targets(app, items))):
        with contextlib.suppress(CredhelperError):  # not in the file any more, or without a source
            built = built or app.planner()
            found.add(built.call(app.config.profile(asked)).key)
    return found


def _targets(app: App, items: list[Item]) -> set[str]:
    """Every account that a session may be cached for: in labels, with a name, or a profile's own."""
    targets = {item.profile.partition("@")[2] for item in items}
    with contextlib.suppress(ConfigError):
        targets |= set(app.config.accounts)
        for table in app.config.table("profiles").values():
            target = str(table.get("target_principal", "")) if isinstance(table, dict) else ""
            targets.add(target.split(":")[4] if target.count(":") == 5 else target)
    return targets - {""}


def _check_known(app: App, name: str) -> None:
    bare = name.partition("@")[0]
    if bare not in app.config.names:
        app.config.profile(name)


def _farewell(item: Item) -> str:
    return (
        f"{item.profile}: forgotten here; AWS cannot revoke the session, it works until {utc(item.expires)}"
    )
