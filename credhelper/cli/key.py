"""`key`: long-lived access keys in the OS keyring."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import prompts
from credhelper.access_keys import manage, parse
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_saved_key, help_option
from credhelper.cli.output import emit
from credhelper.credentials import AccessKey, utc
from credhelper.errors import ConfigError, os_reason
from credhelper.prompts import Question

if TYPE_CHECKING:
    from credhelper.app import App
    from credhelper.cache.index import SavedKey

PROMPT_SECONDS: Final = 300.0
"""Time for a person: nobody else is waiting."""

WAIT_SECONDS: Final = 60.0
"""Until AWS has to know a new key; it mostly does after some ten seconds."""

_region = click.option("--region", metavar="TEXT", help="The region whose STS is asked whose key it is.")


@click.group("key")
@help_option
def key() -> None:
    """Long-lived access keys, kept in the OS keyring instead of a file.

    A profile uses one by its name: source_key = "NAME". The secret is in the keyring and nowhere else;
    'clear' leaves saved keys alone.

    \b
    Examples:
      credhelper key add ci
      credhelper key list
      credhelper key rotate ci
    """


@key.command("add")
@help_option
@click.argument("name")
@click.argument("extra", nargs=-1, metavar="")
@click.option(
    "--access-key-id", metavar="ID", help="The access key id, so that only the secret is asked for."
)
@click.option("--no-check", is_flag=True, help="Save it without asking AWS whose it is.")
@click.option("--force", is_flag=True, help="Put it in the place of a key that is saved under this name.")
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

    AWS is asked whose it is (GetCallerIdentity), and a key that does not work is not saved.

    On a terminal, the key is asked for. Otherwise stdin holds it, in one of three forms: two lines, the
    access key id and the secret access key (with --access-key-id, the secret alone); the JSON of 'aws iam
    create-access-key'; the CSV file of the AWS console. A secret is never an argument.

    \b
    Examples:
      credhelper key add me
      credhelper key add me <me_accessKeys.csv
      aws iam create-access-key --user-name ci | credhelper key add ci
    """
    if extra:
        raise ConfigError(
            "'credhelper key add' takes a name and nothing else: a secret is never an argument",
            "it is asked for, or read from stdin; one that was typed here stands in the shell's history",
        )
    app = open_app()
    manage.check_free(app, name, force=force)  # before anybody types anything
    if access_key_id is not None:
        parse.check_id(access_key_id)
    new = _asked_for(name, access_key_id) if os.isatty(0) else parse.parse(_stdin(), access_key_id)
    emit(manage.add(app, name, new, region=region, check=not no_check, force=force).encode())


@key.command("list")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object: keys, with name, access_key_id, account, arn, saved, rotating.",
)
@help_option
def key_list(*, as_json: bool) -> None:
    """Show the saved keys, never a secret.

    \b
    Examples:
      credhelper key list
      credhelper key list --json | jq -r .keys[].arn
    """
    emit(_listing(open_app(), as_json=as_json).encode())


@key.command("remove")
@help_option
@click.argument("name", shell_complete=complete_saved_key)
@click.option("--yes", is_flag=True, help="Do not ask.")
def key_remove(name: str, *, yes: bool) -> None:
    """Take a key out of the keyring.

    AWS still has it: the command that deletes it there is printed.

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
            f"{saved.access_key_id} of {saved.arn or 'somebody whom nobody has asked for'}",
            *([f"used by {', '.join(used)}"] if used else []),
            "AWS shows a secret once: it cannot be had again",
        )
        title = f"the saved key '{name}' is to be removed"
        _ask(Question("confirm", title, lines, "remove it?", hint="--yes removes it without asking"))
    emit(manage.remove(app, saved).encode())


@key.command("rotate")
@help_option
@click.argument("name", shell_complete=complete_saved_key)
@click.option("--mfa-serial", metavar="ARN", help="Sign for IAM with an MFA session of this device.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=WAIT_SECONDS,
    metavar="SECONDS",
    help="How long AWS may take to know the new key (default 60).",
)
@_region
def key_rotate(name: str, *, mfa_serial: str | None, wait: float, region: str | None) -> None:
    """Replace a key by a new one.

    AWS makes it, for the same user. It takes the old one's place once it is proven to work; only then
    the old one is deactivated and deleted, wherever else it may be in use. Whatever goes wrong, the saved
    key works, and the same command goes on from there.

    The key's own user needs iam:ListAccessKeys, CreateAccessKey, UpdateAccessKey and DeleteAccessKey, and
    room for a second key: AWS allows a user two.

    \b
    Examples:
      credhelper key rotate ci
      credhelper key rotate me --mfa-serial arn:aws:iam::111122223333:mfa/me
    """
    from credhelper.access_keys import rotate

    emit(rotate.rotate(open_app(), name, region=region, mfa_serial=mfa_serial, seconds=wait).encode())


def _asked_for(name: str, access_key_id: str | None) -> AccessKey:
    """The key that a person types."""
    if access_key_id is None:
        title = f"a key is to be saved as '{name}'"
        access_key_id = parse.check_id(_ask(Question("reason", title, (), "access key id")))
    secret = _ask(Question("secret", f"the secret of {access_key_id} is needed", (), "secret access key"))
    return AccessKey(access_key_id, parse.check_secret(secret))


def _ask(question: Question) -> str:
    choice = os.environ.get("CREDHELPER_PROMPT") or "auto"
    answer = prompts.ask(question, command=None, choice=choice, environ=os.environ, seconds=PROMPT_SECONDS)
    return answer.text


def _stdin() -> bytes:
    """All of stdin, up to more than a key can have."""
    content = b""
    try:
        while len(content) <= parse.LIMIT and (block := os.read(0, parse.LIMIT)):
            content += block
    except OSError as error:
        raise ConfigError(f"cannot read stdin: {os_reason(error)}") from None
    return content


def _listing(app: App, *, as_json: bool) -> str:
    """The saved keys; as JSON: `keys` with `name`, `access_key_id`, `account`, `arn`, `saved`, `rotating`."""
    saved = sorted(app.store.index.saved_keys(), key=lambda each: each.name)
    rotating = {rotation.name for rotation in app.store.index.rotations()}
    if as_json:
        return json.dumps({"keys": [_as_json(each, rotating) for each in saved]}) + "\n"
    if not saved:
        return "no keys are saved; 'credhelper key add NAME' saves one\n"
    from credhelper.cli import tables

    rows = [
        tables.Row((each.name, each.access_key_id, each.account, _owner(each.arn), utc(each.saved)[:10]))
        for each in saved
    ]
    columns = {"name": None, "access key id": 20, "account": 12, "whose": None, "saved": 10}
    shown = tables.render(columns, rows)
    unfinished = sorted(
        f"the rotation of '{name}' is not finished: run 'credhelper key rotate {name}'\n" for name in rotating
    )
    return shown + "".join(unfinished)


def _owner(arn: str | None) -> str:
    """'user/alice', or 'root'."""
    return arn.rpartition(":")[2] if arn else "not checked"


def _as_json(saved: SavedKey, rotating: set[str]) -> dict[str, Any]:
    return {
        "name": saved.name,
        "access_key_id": saved.access_key_id,
        "account": saved.account,
        "arn": saved.arn,
        "saved": utc(saved.saved),
        "rotating": saved.name in rotating,
    }
