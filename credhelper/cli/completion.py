"""`completion`: the scripts that make a shell complete what is typed, and `complete`, which they ask."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import ShellComplete, split_arg_string

from credhelper.cli.options import PROGRAM, help_option
from credhelper.cli.output import emit
from credhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS: Final = ("bash", "zsh", "fish")
HELP_LIMIT: Final = 80
SCRIPTS: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "completions")


@click.command("completion")
@help_option
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print a script that makes SHELL (bash, zsh, fish) complete commands, flags and the names of profiles.

    It completes credhelper and credhelper-get. Names come from config.toml as it is when the key is pressed.

    \b
    Examples:
      credhelper completion bash > ~/.local/share/bash-completion/completions/credhelper
      credhelper completion fish > ~/.config/fish/completions/credhelper.fish
      credhelper completion zsh > ~/.zfunc/_credhelper

    bash-completion and fish look for a file by the name of the command: for credhelper-get, link that name to
    the same file. Where bash has no such package, put 'source <(credhelper completion bash)' into ~/.bashrc.

    For zsh, ~/.zfunc stands for a directory that is in fpath before compinit runs: put 'fpath+=~/.zfunc'
    before 'autoload -Uz compinit; compinit' in ~/.zshrc.
    """
    with open(os.path.join(SCRIPTS, f"{PROGRAM}.{shell}"), "rb") as file:
        emit(file.read())


@click.command("complete", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("shell", type=click.Choice(SHELLS))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete(ctx: click.Context, shell: str, words: tuple[str, ...]) -> None:
    """Print what may stand at the cursor, a line each: kind, word, help. Never fails: somebody is typing.

    bash gives the line, and as its one word the part of it that will be replaced; the others give words.
    """
    with contextlib.suppress(Exception):
        line, part = list(words), None
        if shell == "bash":
            text, part = os.environ.get("COMP_LINE", ""), words[0] if words else ""
            line = split_arg_string(text) + ([""] if text[-1:].isspace() else [])
        program = ctx.find_root().command
        emit("".join(f"{each}\n" for each in _fitting(program, line, part)).encode())


def _fitting(program: click.Command, line: list[str], part: str | None) -> Iterator[str]:
    """The answer for a line of words, the last of which is being typed; only `part` of that is replaced."""
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
