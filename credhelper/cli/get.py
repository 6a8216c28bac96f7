"""`get`: the credentials of a profile for SDKs; `renew`: a mint in the background, ahead of need."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import wire
from credhelper.app import GET_SECONDS, agent_directory
from credhelper.cli.context import open_app, started
from credhelper.cli.options import (
    cache_flags,
    complete_profile,
    consent_flags,
    given,
    profile_flags,
    show_flag,
)
from credhelper.cli.output import emit, refuse_terminal
from credhelper.config import keys as config_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.agent import client

RENEWAL_SPARE: Final = 5
"""Seconds after its deadline at which a signal ends a renewal that hangs."""


@click.command("get")
@click.argument("name", shell_complete=complete_profile)
@cache_flags
@show_flag
@consent_flags
@profile_flags
def get(
    name: str, *, refresh: bool, no_cache: bool, show: bool, reason: str | None, yes: bool, **flags: Any
) -> None:
    """Print the credentials of profile NAME as the JSON that SDKs read.

    credential_process runs this command. NAME is a profile of config.toml, or PROFILE@TARGET for an
    AssumeRoot profile without a target account: TARGET is an account id or an alias from [accounts].

    The flags below --yes are the keys of a profile; each overrides config.toml.

    \b
    Examples:
      credhelper get developer | jq .Expiration
      credhelper get audit-root@payments-prod --reason 'ticket 4711' | jq .AccountId
    """
    refuse_terminal(show=show)
    mode: client.CacheMode = "mint" if refresh else "get"
    app = open_app(reason=reason, yes=yes)
    emit(app.envelope(app.config.profile(name, given(flags)), mode=mode, cache=not no_cache))


def _renew(name: str, *, reason: str | None, yes: bool, **flags: Any) -> None:
    """Mint ahead of need, for a `get` with these arguments; it neither prompts nor prints."""
    start = started()
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.alarm(int(GET_SECONDS) + RENEWAL_SPARE)
    start.pending = renewal(os.environ, start.arguments)
    start.background = True
    if start.pending is not None:
        keys = {key: flag for key, flag in flags.items() if key in config_keys.BY_NAME}
        app = open_app(reason=reason, yes=yes)
        app.envelope(app.config.profile(name, given(keys)), mode="renew")


renew = click.Command("renew", params=get.params, callback=_renew, hidden=True)


def renewal(environ: Mapping[str, str], arguments: list[str]) -> wire.PendingRequest | None:
    """The lease for a mint ahead of need, for a `get` that has been answered; None: nothing to do."""
    directory, key = agent_directory(environ), wire.hit_key(arguments, environ)
    if directory is None or key is None:
        return None
    try:
        connection = wire.connect(directory)
        if connection is None:
            return None
        word, lease, _ = connection.ask(b"renew %s\n" % key)
    except (OSError, ValueError):  # the agent has exited, or another process renews it
        return None
    return wire.PendingRequest(connection, lease, key) if word == "mint" else None
