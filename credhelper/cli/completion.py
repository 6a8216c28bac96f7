"""`completion`: the completion scripts of shells; `complete`: the candidates, for these scripts."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import ShellComplete, split_arg_string

from credhelper.cli.options import PROGRAM
from credhelper.cli.output import emit
from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS: Final = ("bash", "zsh", "fish")
HELP_LIMIT: Final = 80
SCRIPTS: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "completions")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    It completes commands, flags, profiles and accounts, for credhelper and credhelper-get. Profiles and
    accounts are read from config.toml when you press the key.

    \b
    Examples:
      credhelper completion bash > ~/.local/share/bash-completion/completions/credhelper
      credhelper completion fish > ~/.config/fish/completions/credhelper.fish
      credhelper completion zsh > ~/.zfunc/_credhelper

    bash-completion and fish find the file by the name of the command: for credhelper-get, create a link with
    that name. Without bash-completion, add 'source <(credhelper completion bash)' to ~/.bashrc.

    In zsh, add 'fpath+=~/.zfunc' to ~/.zshrc, before 'autoload -Uz compinit; compinit'.
    """
    with open(os.path.join(SCRIPTS, f"{PROGRAM}.{shell}"), "rb") as file:
        emit(file.read())


@click.command("complete", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("shell", type=click.Choice(SHELLS))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete(ctx: click.Context, shell: str, words: tuple[str, ...]) -> None:
    """Print the candidates, a line each: kind, word, help. Never fails, because a user is typing.

    zsh and fish pass the words of the line. bash passes the line in COMP_LINE, and the part that it replaces.
    """
    with contextlib.suppress(Exception):
        line, part = list(words), None
        if shell == "bash":
            text, part = os.environ.get("COMP_LINE", ""), words[0] if words else ""
            line = split_arg_string(text) + ([""] if text[-1:].isspace() else [])
        program = ctx.find_root().command
        emit("".join(f"{each}\n" for each in _candidates(program, line, part)).encode())


def _candidates(program: click.Command, line: list[str], part: str | None) -> Iterator[str]:
    """The candidates for the last word of a line; the shell replaces only its end `part`."""
    begun = line[-1]
    before = [*(["get"] if os.path.basename(line[0]) == f"{PROGRAM}-get" else []), *line[1:-1]]
    kept = len(begun) - len(part) if part is not None and begun.endswith(part) else 0
    if "--" in before:
        yield "file\t\t"
        return
    completer = ShellComplete(program, {}, PROGRAM, "=")
    for item in completer.get_completions(before, begun):
        kind = "file" if item.type in ("file", "dir") else item.type
        if kind == "file" or item.value.startswith(begun):
            about = printable(" ".join((item.help or "").split()), HELP_LIMIT)
            yield f"{kind}\t{printable(item.value)[kept:]}\t{about}"
