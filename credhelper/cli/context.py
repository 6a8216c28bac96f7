"""What commands share: the app, the running agent, the cached sessions, and prompts of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from credhelper import app
from credhelper.sessions.consent import UserInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.agent.admin import AgentAdmin, Remembered
    from credhelper.cache.store import Store
    from credhelper.prompts import Question


def started() -> app.Invocation:
    """The invocation that `main` has put into click's context."""
    found: app.Invocation = click.get_current_context().find_object(app.Invocation) or app.Invocation(0.0)
    return found


def open_app(*, reason: str | None = None, yes: bool = False, login: bool = False) -> app.App:
    """The app for this command, with its answers to prompts."""
    return app.open_app(os.environ, started(), UserInput(reason, yes, login))


def agent_admin(opened: app.App) -> AgentAdmin:
    """The running agent, if there is one; it is not started."""
    from credhelper.agent.admin import AgentAdmin

    return AgentAdmin(app.agent_directory(opened.environ))


@dataclass(frozen=True)
class CachedSession:
    """A session in the keyring or the agent: its call's KEY, its profile, its expiry (epoch)."""

    key: str
    profile: str
    kind: str
    expires: float
    places: tuple[str, ...]


def cached_sessions(store: Store, remembered: Iterable[Remembered], now: float) -> list[CachedSession]:
    """The sessions in the keyring's index, expired ones included, and those that only the agent remembers."""
    in_agent = [
        CachedSession(each.key, each.profile, "", now + each.seconds, ("agent",))
        for each in remembered
        if each.seconds > 0
    ]
    places = dict.fromkeys((each.key for each in in_agent), ("agent", "keyring"))
    stored = [
        CachedSession(item.key, item.profile, item.kind, item.expires, places.get(item.key, ("keyring",)))
        for item in store.items()
    ]
    keys = {each.key for each in stored}
    return [*stored, *(each for each in in_agent if each.key not in keys)]


def prompt(question: Question, seconds: float) -> str:
    """The answer to a question that is not part of a mint. Raises InteractionError."""
    from credhelper import prompts

    choice = os.environ.get("CREDHELPER_PROMPT") or "auto"
    return prompts.ask(question, command=None, choice=choice, environ=os.environ, seconds=seconds).text
