"""Prompts for the calls of one command, one at a time among all credhelper processes of the user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from credhelper.errors import NoPromptError
from credhelper.sessions.caller import CHAIN, write_path

if TYPE_CHECKING:
    from credhelper.cache.locks import FileLocks
    from credhelper.prompts import Answer, Question
    from credhelper.sessions.caller import CallerContext
    from credhelper.sessions.calls import StsCall


class Waiters(Protocol):
    """Knows the callers that wait for what this command mints."""

    def asking(self) -> int:
        """Tell them that the user is being asked; returns how many they are."""


@dataclass(frozen=True)
class Prompter:
    """Asks the user. Each prompt also says which program requests it and how many callers wait."""

    caller: CallerContext
    locks: FileLocks
    waiters: Waiters

    def ask(self, question: Question, call: StsCall | None = None) -> Answer:
        """The user's answer, for this call. Raises NoPromptError, CancelledError, ConfigError."""
        from credhelper import prompts

        caller = self.caller
        caller.deadline.check(question.title, NoPromptError)
        program, waiting = caller.requester.program, self.waiters.asking()
        lines = [f"requested by {program}"] if program else []
        if waiting:
            lines.append(f"{waiting} more {'caller waits' if waiting == 1 else 'callers wait'} for this")
        path = caller.path if call is None else call.path
        with caller.deadline.spend("the answer to a prompt"):
            return prompts.ask(
                replace(question, lines=(*question.lines, *lines)),
                command=None if call is None else call.profile.get("mfa_command"),
                choice=caller.environ.get("CREDHELPER_PROMPT") or "auto",
                environ={**caller.environ, CHAIN: write_path(path)},
                seconds=caller.deadline.left(prompts.PROMPT_SECONDS),
                turn=lambda seconds: self.locks.hold("prompt", seconds),
            )
