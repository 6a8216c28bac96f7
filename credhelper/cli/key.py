"""`key`: long-lived access keys in the OS keyring."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper.access_keys import manage, parse
from credhelper.cli.context import open_app, prompt
from credhelper.cli.options import complete_saved_key, json_flag
from credhelper.cli.output import emit, emit_json
from credhelper.credentials import AccessKey, utc
from credhelper.errors import ConfigError, os_reason
from credhelper.prompts import Question

if TYPE_CHECKING:
    from credhelper.cache.index import SavedKey

PROMPT_SECONDS: Final = 300.0
"""Time to answer a prompt: no other caller waits for it."""

WAIT_SECONDS: Final = 60.0
"""Time for a new key to become valid; it usually takes about ten seconds."""

_region = click.option("--region", metavar="TEXT", help="The region of the STS that checks the key.")


@click.group("key")
def key() -> None:
    """Long-lived access keys, kept in the OS keyring instead of a file.

    A profile uses a saved key by its name: source_key = "NAME". The secret is only in the keyring; 'clear'
    does not delete saved keys.

    \b
    Examples:
      credhelper key add ci
      credhelper key list
      credhelper key rotate ci
    """


@key.command("add")
@click.argument("name")
@click.argument("extra", nargs=-1, metavar="")
@click.option(
    "--access-key-id", metavar="ID", help="The access key id; only the secret is prompted for or read."
)
@click.option("--no-check", is_flag=True, help="Save the key without checking it with AWS.")
@click.option("--force", is_flag=True, help="Replace a saved key of this name.")
@_region
def key_add(
    name: str,
    *,
    extra: tuple[str, ...],
    access_key_id: str | None,
    no_check: bool,
    force: bool,
    region: str | None,
) -> None:
    """Save an access key as NAME.

    The key is checked with AWS first (GetCallerIdentity); a key that does not work is not saved.

    On a terminal, 'key add' prompts for the key. Otherwise it reads stdin, in one of three forms: two lines
    with the access key id and the secret access key (with --access-key-id, only the secret); the JSON of 'aws
    iam create-access-key'; the CSV file of the AWS console. A secret is never an argument.

    \b
    Examples:
      credhelper key add me
      credhelper key add me <me_accessKeys.csv
      aws iam create-access-key --user-name ci | credhelper key add ci
    """
    if extra:
        raise ConfigError(
            "'credhelper key add' takes a name and nothing else: a secret is never an argument",
            "type it at the prompt, or pass it on stdin; this one is now in your shell's history",
        )
    app = open_app()
    manage.check_free(app, name, force=force)  # before the prompt
    if access_key_id is not None:
        parse.check_id(access_key_id)
    new = _prompt_for_key(name, access_key_id) if os.isatty(0) else parse.parse(_stdin(), access_key_id)
    emit(manage.add(app, name, new, region=region, check=not no_check, force=force).encode())


@key.command("list")
@json_flag
def key_list(*, as_json: bool) -> None:
    """Show the saved keys, never a secret.

    \b
    Examples:
      credhelper key list
      credhelper key list --json | jq -r .keys[].arn
    """
    app = open_app()
    saved = sorted(app.store.index.saved_keys(), key=lambda each: each.name)
    rotating = {rotation.name for rotation in app.store.index.rotations()}
    if as_json:
        emit_json({"keys": [_as_json(each, rotating) for each in saved]})
    else:
        emit(_table(saved, rotating).encode())


@key.command("remove")
@click.argument("name", shell_complete=complete_saved_key)
@click.option("--yes", is_flag=True, help="Do not prompt.")
def key_remove(name: str, *, yes: bool) -> None:
    """Delete a key from the keyring.

    The key stays valid in AWS: 'key remove' prints the command that deletes it there.

    \b
    Examples:
      credhelper key remove me
      credhelper key remove ci --yes
    """
    app = open_app()
    saved = manage.find(app, name)
    if not yes:
        used = manage.users(app, name)
        lines = (
            f"{saved.access_key_id} of {saved.arn or 'an owner that was not checked'}",
            *([f"used by {', '.join(used)}"] if used else []),
            "AWS shows a secret once: it cannot be had again",
        )
        title = f"the saved key '{name}' is to be removed"
        question = Question("confirm", title, lines, "remove it?", hint="--yes removes it without asking")
        prompt(question, PROMPT_SECONDS)
    emit(manage.remove(app, saved).encode())


@key.command("rotate")
@click.argument("name", shell_complete=complete_saved_key)
@click.option("--mfa-serial", metavar="ARN", help="Sign for IAM with an MFA session of this device.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=WAIT_SECONDS,
    metavar="SECONDS",
    help="How long to wait for the new key to become valid (default 60).",
)
@_region
def key_rotate(name: str, *, mfa_serial: str | None, wait: float, region: str | None) -> None:
    """Replace a key with a new one of the same user.

    The new key is saved once it works; then the old one is deactivated and deleted, even if it is in use
    elsewhere. If something fails, the saved key still works, and the same command continues the rotation.

    The key's user needs iam:ListAccessKeys, CreateAccessKey, UpdateAccessKey and DeleteAccessKey, and may
    have only this key: AWS allows two per user.

    \b
    Examples:
      credhelper key rotate ci
      credhelper key rotate me --mfa-serial arn:aws:iam::111122223333:mfa/me
    """
    from credhelper.access_keys import rotate

    emit(rotate.rotate(open_app(), name, region=region, mfa_serial=mfa_serial, seconds=wait).encode())


def _prompt_for_key(name: str, access_key_id: str | None) -> AccessKey:
    if access_key_id is None:
        title = f"a key is to be saved as '{name}'"
        question = Question("reason", title, (), "access key id")
        access_key_id = parse.check_id(prompt(question, PROMPT_SECONDS))
    title = f"the secret of {access_key_id} is needed"
    secret = prompt(Question("secret", title, (), "secret access key"), PROMPT_SECONDS)
    return AccessKey(access_key_id, parse.check_secret(secret))


def _stdin() -> bytes:
    """stdin, up to one byte more than the limit for a key, at least."""
    content = b""
    try:
        while len(content) <= parse.LIMIT and (block := os.read(0, parse.LIMIT)):
            content += block
    except OSError as error:
        raise ConfigError(f"cannot read stdin: {os_reason(error)}") from None
    return content


def _table(keys: list[SavedKey], rotating: set[str]) -> str:
    if not keys:
        return "no keys are saved; 'credhelper key add NAME' saves one\n"
    from credhelper.cli import tables

    rows = []
    for each in keys:
        owner = each.arn.rpartition(":")[2] if each.arn else "not checked"
        rows.append(tables.Row((each.name, each.access_key_id, each.account, owner, utc(each.saved)[:10])))
    columns = {"name": None, "access key id": 20, "account": 12, "owner": None, "saved": 10}
    unfinished = (
        f"the rotation of '{name}' is not finished: run 'credhelper key rotate {name}'\n"
        for name in sorted(rotating)
    )
    return tables.render(columns, rows) + "".join(unfinished)


def _as_json(saved: SavedKey, rotating: set[str]) -> dict[str, Any]:
    return {
        "name": saved.name,
        "access_key_id": saved.access_key_id,
        "account": saved.account,
        "arn": saved.arn,
        "saved": utc(saved.saved),
        "rotating": saved.name in rotating,
    }
