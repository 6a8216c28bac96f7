"""Long-lived access keys in the OS keyring: added, listed, removed. `rotation` replaces them.

One item a key. The secret is there and nowhere else; the index has the name, the id, and whose it is.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.cache.index import SavedKey
from credhelper.cache.keyring import NoKeyringError
from credhelper.cache.store import successor
from credhelper.config import validation
from credhelper.config.keys import BY_NAME
from credhelper.config.toml import nearest
from credhelper.errors import ConfigError, CredhelperError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.access_keys.identity import Identity
    from credhelper.app import App
    from credhelper.credentials import AccessKey


def check_name(name: str) -> None:
    """Raise ConfigError where that cannot be the name of a key."""
    if validation.problem(BY_NAME["source_key"], name):
        raise ConfigError(
            f"'{name}' is no name for a saved key", "use letters, digits and . _ = + -, at most 128"
        )


def check_free(app: App, name: str, *, force: bool) -> SavedKey | None:
    """The key whose place one of this name takes. Raises ConfigError where that was not asked for."""
    check_name(name)
    index = app.store.index
    if any(rotation.name == name for rotation in index.rotations()):
        raise ConfigError(
            f"the rotation of the saved key '{name}' is not finished",
            f"finish it with 'credhelper key rotate {name}', or remove the key first",
        )
    for other in index.saved_keys():
        if other.name != name and other.name.lower() == name.lower():  # as Credential Manager compares them
            raise ConfigError(f"some keyrings do not tell '{name}' from the saved key '{other.name}'")
    before = _look(app, name)
    if before is not None and not force:
        raise ConfigError(
            f"a key is saved as '{name}' already: '{before.access_key_id}'",
            f"--force puts yours in its place; 'credhelper key rotate {name}' has AWS make a new one",
        )
    return before


def add(app: App, name: str, new: AccessKey, *, region: str | None, check: bool, force: bool) -> str:
    """Save a key, once AWS knows it; returns what to tell the person."""
    whose = _identify(app, name, new, region) if check else None
    with alone(app, name):
        before = check_free(app, name, force=force)
        put(app, name, new, whose)
    said = [f"saved '{name}': {new.access_key_id} {f'of {whose.arn}' if whose else 'as it is, not checked'}"]
    if before is not None and before.access_key_id != new.access_key_id:
        _forget_sessions(app)
        said += [f"AWS still has the one before; this deletes it there:\n  {delete_command(before)}"]
    if whose is not None and whose.arn.endswith(":root"):
        said.append("it is the root user's: no role can be assumed with it")
    said.append(f'a profile uses it by: source_key = "{name}"')
    return "".join(line + "\n" for line in said)


def _identify(app: App, name: str, new: AccessKey, region: str | None) -> Identity:
    from credhelper.access_keys import identity

    return identity.ask(identity.services(app, name, new, region), new)


def put(app: App, name: str, access_key: AccessKey, whose: Identity | None) -> None:
    """Save a key and list it. Raises CredhelperError.

    A name that is new is listed first: what is not listed would never be found again.
    """
    before = in_index(app, name)
    account, arn = (whose.account, whose.arn) if whose else (None, None)
    with keyring():
        if before is not None:
            app.store.save_key(name, access_key)
        if not app.store.index.add(SavedKey(name, access_key.access_key_id, account, arn, int(time.time()))):
            raise unlisted(app)
        if before is None:
            app.store.save_key(name, access_key)


def unlisted(app: App) -> CredhelperError:
    """The error where the index cannot be written."""
    return CredhelperError(f"'{app.places.items}' cannot be written", f"'{app.places.log}' says why")


def in_index(app: App, name: str) -> SavedKey | None:
    """What the index has under a name."""
    return next((each for each in app.store.index.saved_keys() if each.name == name), None)


def _look(app: App, name: str) -> SavedKey | None:
    """What the keyring has under a name, with what the index knows of it. Raises CredhelperError."""
    with keyring():
        found = app.store.read_key(name) or app.store.read_key(successor(name))
    listed = in_index(app, name)
    if found is None or (listed is not None and listed.access_key_id == found.access_key_id):
        return listed if found is not None else None
    return SavedKey(name, found.access_key_id, None, None, 0)


def find(app: App, name: str) -> SavedKey:
    """The key of that name, in the keyring or at least in the index. Raises SourceError, CredhelperError."""
    check_name(name)
    found = _look(app, name) or in_index(app, name)
    if found is None:
        known = [each.name for each in app.store.index.saved_keys()]
        raise SourceError(
            f"no key is saved as '{name}'", *nearest(name, known), f"'credhelper key add {name}' saves one"
        )
    return found


def users(app: App, name: str) -> list[str]:
    """The profiles whose source is that key."""
    with contextlib.suppress(ConfigError):
        named = {**app.config.table("profiles"), "[defaults]": app.config.table("defaults")}
        return [
            each
            for each, table in named.items()
            if isinstance(table, dict) and table.get("source_key") == name
        ]
    return []


def remove(app: App, saved: SavedKey) -> str:
    """Take a key out of the keyring; returns what to tell the person."""
    name, index, store = saved.name, app.store.index, app.store
    with alone(app, name), keyring():
        begun = [rotation for rotation in index.rotations() if rotation.name == name]
        found = [store.read_key(each) for each in (name, successor(name))]
        store.delete_key(successor(name))  # first: left alone, it would be taken for the key
        store.delete_key(name)
        index.remove([*begun, *(each for each in index.saved_keys() if each.name == name)])
    _forget_sessions(app)
    left = {saved.access_key_id, *(access_key.access_key_id for access_key in found if access_key)}
    left |= {rotation.replaces for rotation in begun}
    commands = [f"  {delete_command(replace(saved, access_key_id=each))}" for each in sorted(left)]
    said = [f"removed '{name}' from the keyring; AWS still has it, and this deletes it there:", *commands]
    return "".join(line + "\n" for line in said)


def delete_command(saved: SavedKey) -> str:
    """The AWS CLI's command that deletes a key."""
    command = ["aws", "iam", "delete-access-key", "--access-key-id", saved.access_key_id]
    if saved.arn is not None and ":user/" in saved.arn:
        command += ["--user-name", saved.arn.rpartition("/")[2]]
    return shlex.join(command)


def _forget_sessions(app: App) -> None:
    """Empty the agent's memory: asked by arguments and files, it does not see that a key is another one."""
    admin.AgentAdmin(agent_directory(app.environ)).clear(())


@contextlib.contextmanager
def alone(app: App, name: str) -> Iterator[None]:
    """Only one at a time changes a saved key. Raises CredhelperError for the others."""
    with app.locks.hold(f"key-{name.lower()}", 0) as held:
        if not held and app.locks.usable:
            raise CredhelperError(f"another 'credhelper key' is at work on '{name}'", "wait until it is done")
        yield


@contextlib.contextmanager
def keyring() -> Iterator[None]:
    """Within the block, a keyring that fails is a sentence."""
    try:
        yield
    except NoKeyringError as error:
        raise CredhelperError(
            f"the keyring cannot be used: {error}", "keys are saved there and nowhere else"
        ) from None
