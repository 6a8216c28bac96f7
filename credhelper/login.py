"""`login`: a person says ahead of time what the sessions of a profile need, and hears how long it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credhelper import freshness, remote, series
from credhelper.credentials import utc
from credhelper.house import agent_directory
from credhelper.origins import Origin
from credhelper.questions import spell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.chain import Call
    from credhelper.client import Wish
    from credhelper.config import Profile
    from credhelper.house import House


def login(house: House, profile: Profile, *, wish: Wish = "get") -> str:
    """Ask what has to be asked, mint what is missing; returns what lasts how long. Raises CredhelperError."""
    house.agent.decline()  # its answer to `get` is none to this
    call, resolver = house.call(profile), house.resolver()
    credentials = resolver.get(call, wish=wish)
    if freshness.since(house.started, credentials.minted) < 0:  # nobody has been asked: it was there
        resolver.permit(call)
    left = freshness.remaining(credentials, freshness.read_clocks())
    return "".join(line + "\n" for line in _lines(house, call, left))


def _lines(house: House, call: Call, left: float) -> Iterator[str]:
    kept = _kept(house)
    where = "" if call.key in kept else "; nothing keeps it: there is neither a keyring nor an agent"
    yield f"{call.profile.name}: {_until(left)}{where}"
    hop = call.source
    while not isinstance(hop, Origin):
        if hop.key in kept:
            yield f"  {hop.profile.name}: {_until(kept[hop.key])}"
        hop = hop.source
    running, limit = series.under_way(house.locks, call.profile), series.renew_for(call.profile)
    if running is None:
        return
    if call.profile.get("confirm", False):
        yield f"  your yes: {_until(running.yes_left(call.profile))}"
    if limit is not None:
        yield f"  renews itself without asking: {_until(max(0.0, limit - running.age))}"


def _until(seconds: float) -> str:
    moment = freshness.read_clocks().wall + seconds
    return f"{spell(seconds)}, until {utc(moment)}"


def _kept(house: House) -> dict[str, float]:
    """The seconds that are left of each session that is cached, by its KEY."""
    now = freshness.read_clocks().wall
    found = {item.key: item.expires - now for item in house.store.items()}
    status = remote.Remote(agent_directory(house.environ)).status()
    for each in status[1] if status else ():
        found.setdefault(each.key, each.seconds)
    return {key: left for key, left in found.items() if left > 0}
