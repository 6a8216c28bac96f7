"""What fits where a line is being completed, as click hands it to the shells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

from credhelper.cli import completers_run as fitting  # a verb of this package has the same name
from credhelper.cli.context import open_app
from credhelper.config import keys
from credhelper.config.aws_names import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click


def _items(words: Iterable[fitting.Word]) -> list[CompletionItem[str]]:
    return [CompletionItem(word.text, "open" if word.open else "plain", word.help) for word in words]


def profile(ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For arguments that name a profile, or PROFILE@TARGET."""
    words = fitting.profiles(os.environ, begun)
    return _items(words if ctx.command.name not in BARE else fitting.profiles(os.environ, begun, bare=True))


BARE: Final = ("clear", "doctor", "exec", "explain", "setup")
"""The verbs for which an open profile without a target means something."""


def account(_ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For options that name an account."""
    return _items(fitting.accounts(os.environ, begun))


def saved_key(_ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For what names a saved key; the index knows them, and no keyring is opened."""
    saved = open_app().store.index.saved_keys()
    return [CompletionItem(key.name, help=key.access_key_id) for key in saved if key.name.startswith(begun)]


def key(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For the flags of a profile's keys."""
    meant = keys.BY_NAME[str(option.name)]
    if meant.name == "source_profile":
        return _items(fitting.sources(os.environ, begun))
    if meant.name in ("target_principal", "allow_targets", "deny_targets"):
        return _items(fitting.accounts(os.environ, begun))
    if meant.name == "source_key":
        return saved_key(ctx, option, begun)
    if meant.name == "ca_bundle":
        return [CompletionItem(begun, "file")]
    if meant.name == "task_policy_arn":
        return [CompletionItem(name, help=task.purpose) for name, task in TASKS.items()]
    return [CompletionItem(_FORMS.get(choice, str(choice))) for choice in meant.choices]


_FORMS: Final[dict[object, str]] = {True: "true", False: "false"}
