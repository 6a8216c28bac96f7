"""`login`: answer the prompts of a profile now, so that programs find its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from credhelper import expiry
from credhelper.cli.context import agent_admin, cached_sessions, open_app
from credhelper.cli.options import (
    complete_profile,
    consent_flags,
    given,
    profile_flags,
)
from credhelper.cli.output import emit
from credhelper.credentials import utc
from credhelper.sessions import consent
from credhelper.sessions.questions import spell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import StsCall


@click.command("login")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_profile)
@click.option("--refresh", is_flag=True, help="Mint a new session even if one is cached.")
@consent_flags
@profile_flags
def login(names: tuple[str, ...], *, refresh: bool, reason: str | None, yes: bool, **flags: Any) -> None:
    """Prompt now for whatever the profiles NAME will need: MFA code, confirmation, reason.

    login prompts on the terminal, or in a dialog if there is none. It mints the missing sessions and prints
    how long each lasts; never a secret. Programs that use the profiles then find the session and do not
    prompt.

    A session renews itself for as long as 'renew_for' allows (AssumeRoot: an hour); login starts that period
    again. A reason stays valid until a session ends without having been renewed.

    \b
    Examples:
      credhelper login developer
      credhelper login unlock-bucket --reason 'ticket 4711'
      credhelper login audit-root@payments-prod --yes
    """
    mode: CacheMode = "mint" if refresh else "get"
    report = []
    for name in names:
        app = open_app(reason=reason, yes=yes, login=True)
        report += _login(app, app.config.profile(name, given(flags)), mode)
    emit("".join(line + "\n" for line in report).encode())


def _login(app: App, profile: Profile, mode: CacheMode) -> list[str]:
    """Prompt and mint as needed; returns the report. Raises CredhelperError."""
    app.agent.decline()  # its pending answer is for `get`
    call, provider = app.call(profile), app.provider()
    credentials = provider.get(call, mode=mode)
    if expiry.since(app.caller.started, credentials.minted) < 0:  # it was cached, so there was no prompt
        provider.minter.permit(call)
    return [*_report(app, call, expiry.remaining(credentials, expiry.read_clocks()))]


def _report(app: App, call: StsCall, seconds_left: float) -> Iterator[str]:
    cached = _cached(app)
    where = "" if call.key in cached else "; not cached: there is neither a keyring nor an agent"
    yield f"{call.profile.name}: {_until(seconds_left)}{where}"
    for hop in call.parent.hops() if call.parent else ():
        if hop.key in cached:
            yield f"  {hop.profile.name}: {_until(cached[hop.key])}"
    running, limit = consent.read_state(app.locks, call.profile), call.profile.renew_for
    if running is None:
        return
    if call.profile.confirm:
        yield f"  confirmation: {_until(running.confirmation_left(call.profile))}"
    if limit is not None:
        yield f"  renewal without a prompt: {_until(max(0.0, limit - running.age))}"


def _until(seconds: float) -> str:
    return f"{spell(seconds)}, until {utc(expiry.read_clocks().wall + seconds)}"


def _cached(app: App) -> dict[str, float]:
    """The seconds left of each cached session, by its KEY."""
    now = expiry.read_clocks().wall
    _, remembered = agent_admin(app).status() or (None, [])
    found = {each.key: each.expires - now for each in cached_sessions(app.store, remembered, now)}
    return {key: left for key, left in found.items() if left > 0}
