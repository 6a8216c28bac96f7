"""Add and remove long-lived access keys in the OS keyring. `rotate` replaces them.

The keyring holds one item a key, with the secret; the index holds name, access key id and owner.
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
    from credhelper.cache.index import Rotation
    from credhelper.credentials import AccessKey


def check_name(name: str) -> None:
    """Raise ConfigError for what cannot be the name of a key."""
    if validation.problem(BY_NAME["source_key"], name):
        problem = f"'{name}' cannot be the name of a saved key"
        raise ConfigError(problem, "use letters, digits and . _ = + -, at most 128")


def check_free(app: App, name: str, *, force: bool) -> SavedKey | None:
    """The key that a new one of this name replaces. Raises ConfigError where that needs `force`."""
    check_name(name)
    index = app.store.index
    if rotation_of(app, name):
        raise ConfigError(
            f"the rotation of the saved key '{name}' is not finished",
            f"finish it with 'credhelper key rotate {name}', or remove the key first",
        )
    for other in index.saved_keys():
        if other.name != name and other.name.lower() == name.lower():  # Credential Manager ignores case
            raise ConfigError(f"some keyrings cannot tell '{name}' from the saved key '{other.name}'")
    before = _probe(app, name)
    if before is not None and not force:
        raise ConfigError(
            f"a key is saved as '{name}' already: '{before.access_key_id}'",
            f"--force replaces it; 'credhelper key rotate {name}' lets AWS make a new one",
        )
    return before


def add(app: App, name: str, new: AccessKey, *, region: str | None, check: bool, force: bool) -> str:
    """Save a key, with `check` after AWS has accepted it; returns the text to print."""
    owner = None
    if check:
        from credhelper.access_keys import identity

        owner = identity.ask(identity.services(app, name, new, region), new)
    with alone(app, name):
        before = check_free(app, name, force=force)
        put(app, name, new, owner)
    lines = [f"saved '{name}': {new.access_key_id} {f'of {owner.arn}' if owner else 'as it is, not checked'}"]
    if before is not None and before.access_key_id != new.access_key_id:
        _forget_sessions(app)
        lines += ["AWS still has the previous key; this command deletes it:", f"  {delete_command(before)}"]
    if owner is not None and owner.arn.endswith(":root"):
        lines.append("it is the root user's: no role can be assumed with it")
    return _text(*lines, f'to use it in a profile: source_key = "{name}"')


def _text(*lines: str) -> str:
    return "".join(line + "\n" for line in lines)


def put(app: App, name: str, access_key: AccessKey, owner: Identity | None) -> None:
    """Save a key and list it in the index. Raises CredhelperError.

    A new name is listed first: a key that is not listed would never be found again.
    """
    before = in_index(app, name)
    account, arn = (owner.account, owner.arn) if owner else (None, None)
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
    """The index's entry for a key."""
    return next((each for each in app.store.index.saved_keys() if each.name == name), None)


def rotation_of(app: App, name: str) -> Rotation | None:
    """The unfinished rotation of a key."""
    return next((each for each in app.store.index.rotations() if each.name == name), None)


def _probe(app: App, name: str) -> SavedKey | None:
    """The key in the keyring, with owner and date if the index knows them. Raises CredhelperError."""
    with keyring():
        found = app.store.read_key(name) or app.store.read_key(successor(name))
    listed = in_index(app, name)
    if found is None or (listed is not None and listed.access_key_id == found.access_key_id):
        return listed if found is not None else None
    return SavedKey(name, found.access_key_id, None, None, 0)


def find(app: App, name: str) -> SavedKey:
    """The saved key of that name, in the keyring or in the index. Raises SourceError, CredhelperError."""
    check_name(name)
    found = _probe(app, name) or in_index(app, name)
    if found is None:
        known = [each.name for each in app.store.index.saved_keys()]
        add = f"'credhelper key add {name}' saves one"
        raise SourceError(f"no key is saved as '{name}'", *nearest(name, known), add)
    return found


def users(app: App, name: str) -> list[str]:
    """The profiles that name the key as their source."""
    with contextlib.suppress(ConfigError):
        named = {**app.config.table("profiles"), "[defaults]": app.config.table("defaults")}
        tables = {each: table for each, table in named.items() if isinstance(table, dict)}
        return [each for each, table in tables.items() if table.get("source_key") == name]
    return []


def remove(app: App, saved: SavedKey) -> str:
    """Remove a key from the keyring; returns the text to print."""
    name, index, store = saved.name, app.store.index, app.store
    with alone(app, name), keyring():
        rotation = rotation_of(app, name)
        found = [store.read_key(each) for each in (name, successor(name))]
        store.delete_key(successor(name))  # first: alone, it would count as the key
        store.delete_key(name)
        index.remove([each for each in (rotation, in_index(app, name)) if each])
    _forget_sessions(app)
    left = {saved.access_key_id, *(access_key.access_key_id for access_key in found if access_key)}
    left |= {rotation.replaces} if rotation else set()
    commands = [f"  {delete_command(replace(saved, access_key_id=each))}" for each in sorted(left)]
    return _text(f"removed '{name}' from the keyring; AWS still has it; this deletes it:", *commands)


def delete_command(saved: SavedKey) -> str:
    """The AWS CLI command that deletes a key."""
    command = ["aws", "iam", "delete-access-key", "--access-key-id", saved.access_key_id]
    if saved.arn is not None and ":user/" in saved.arn:
        command += ["--user-name", saved.arn.rpartition("/")[2]]
    return shlex.join(command)


def _forget_sessions(app: App) -> None:
    """Clear the agent's memory: its keys do not depend on the saved access key."""
    admin.AgentAdmin(agent_directory(app.environ)).clear(())


@contextlib.contextmanager
def alone(app: App, name: str) -> Iterator[None]:
    """Lock a saved key for changes. Raises CredhelperError if another process has locked it."""
    with app.locks.hold(f"key-{name.lower()}", 0) as held:
        if not held and app.locks.usable:
            raise CredhelperError(f"another 'credhelper key' is changing '{name}'", "wait until it is done")
        yield


@contextlib.contextmanager
def keyring() -> Iterator[None]:
    """Within the block, a keyring that fails raises CredhelperError."""
    try:
        yield
    except NoKeyringError as error:
        problem = f"the keyring cannot be used: {error}"
        raise CredhelperError(problem, "access keys are saved nowhere else") from None
