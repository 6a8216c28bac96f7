"""`login`: a person says ahead of time what the sessions of a profile need, and hears how long it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credhelper import expiry
from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.credentials import utc
from credhelper.sessions import consent
from credhelper.sessions.questions import spell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import StsCall


def login(app: App, profile: Profile, *, mode: CacheMode = "get") -> str:
    """Ask what has to be asked, mint what is missing; returns what lasts how long. Raises CredhelperError."""
    app.agent.decline()  # its answer to `get` is none to this
    call, provider = app.call(profile), app.provider()
    credentials = provider.get(call, mode=mode)
    if expiry.since(app.caller.started, credentials.minted) < 0:  # nobody has been asked: it was there
        provider.minter.permit(call)
    left = expiry.remaining(credentials, expiry.read_clocks())
    return "".join(line + "\n" for line in _lines(app, call, left))


def _lines(app: App, call: StsCall, left: float) -> Iterator[str]:
    kept = _kept(app)
    where = "" if call.key in kept else "; nothing keeps it: there is neither a keyring nor an agent"
    yield f"{call.profile.name}: {_until(left)}{where}"
    for hop in call.parent.hops() if call.parent else ():
        if hop.key in kept:
            yield f"  {hop.profile.name}: {_until(kept[hop.key])}"
    running, limit = consent.read_state(app.locks, call.profile), consent.renew_for(call.profile)
    if running is None:
        return
    if call.profile.get("confirm", False):
        yield f"  your yes: {_until(running.confirmation_left(call.profile))}"
    if limit is not None:
        yield f"  renews itself without asking: {_until(max(0.0, limit - running.age))}"


def _until(seconds: float) -> str:
    moment = expiry.read_clocks().wall + seconds
    return f"{spell(seconds)}, until {utc(moment)}"


def _kept(app: App) -> dict[str, float]:
    """The seconds that are left of each session that is cached, by its KEY."""
    now = expiry.read_clocks().wall
    found = {item.key: item.expires - now for item in app.store.items()}
    status = admin.AgentAdmin(agent_directory(app.environ)).status()
    for each in status[1] if status else ():
        found.setdefault(each.key, each.seconds)
    return {key: left for key, left in found.items() if left > 0}
