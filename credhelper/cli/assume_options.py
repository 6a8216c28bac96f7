"""The options of `assume-root` and `assume-role`: the parameters of the call, and those of the AWS CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from credhelper.assume import options
from credhelper.cli import assume_output
from credhelper.cli.options import cache_flags, complete_key, consent_flags, show_flag
from credhelper.config.keys import API_DURATIONS, BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.config.keys import Key, Kind

COLORS: Final = {"on": True, "off": False, "auto": None}

_METAVARS: Final = {
    "number": "SECONDS",
    "texts": "TEXT...",
    "table": "SHORTHAND...",
    "tables": "SHORTHAND...",
}


class ApiForm(click.Command):
    """A command whose lists are written as for the AWS CLI: `--tags Key=a,Value=1 Key=b,Value=2`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option of each list before each of its values, as click expects it."""
        lists = [name for each in self.params if _is_list(each) for name in each.opts]
        for option in lists:
            if sum(argument == option or argument.startswith(f"{option}=") for argument in args) > 1:
                raise click.UsageError(
                    f"'{option}' is given twice: write its values one after the other", ctx
                )
            if not ctx.resilient_parsing and _has_no_value(option, args):
                # click would take the next option for its value; completion must not fail here
                raise click.UsageError(f"'{option}' has no value", ctx)
        return super().parse_args(ctx, _spread(args, lists))


def _is_list(option: click.Parameter) -> bool:
    return isinstance(option, click.Option) and option.multiple


def _has_no_value(option: str, arguments: list[str]) -> bool:
    """Whether the option has no value."""
    if option not in arguments:
        return False
    following = arguments[arguments.index(option) + 1 :]
    return not following or following[0].startswith("--")


def _spread(arguments: list[str], lists: list[str]) -> list[str]:
    """Turn `--tags A B` into `--tags A --tags B`."""
    spread: list[str] = []
    current, taken = "", 0
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            current, taken = (argument if argument in lists else ""), 0
        elif current:
            taken += 1
            if taken > 1:
                spread.append(current)
        spread.append(argument)
    return spread


def api_options(kind: Kind) -> Callable[[Any], Any]:
    """The options of a call: its parameters, the AWS CLI's global options, and credhelper's own."""
    keys = [*options.keys_of(kind), *map(BY_NAME.__getitem__, options.SETTINGS)]

    def decorate(command: Any) -> Any:
        for option in reversed([*(_option(key, kind) for key in keys), *_FORM, *_OURS, *_IGNORED]):
            command = option(command)
        return command

    return decorate


def _option(key: Key, kind: Kind) -> Callable[[Any], Any]:
    shape = "SHORTHAND" if key.members and not key.is_list else "TEXT"
    is_number = key.form == "number" and key.parameter is None
    return click.option(
        key.option,
        key.name,
        multiple=key.is_list,
        type=int if is_number else None,
        metavar="BYTES" if key.name.endswith("_size") else _METAVARS.get(key.form, shape),
        help=_meaning(key, kind),
        shell_complete=complete_key,
    )


def _meaning(key: Key, kind: Kind) -> str:
    if key.name == "duration_seconds":
        low, high = API_DURATIONS[kind]
        return f"how long the session lasts ({low} to {high})"
    return f"{key.meaning}; 0 or more than 10 is 10" if key.name.endswith("_timeout") else key.meaning


_FORM: Final = (
    click.option("--cli-input-json", metavar="JSON", help="The request as JSON or file://PATH; options win."),
    click.option("--cli-input-yaml", metavar="YAML", help="The same as YAML."),
    click.option(
        "--generate-cli-skeleton",
        "skeleton",
        is_flag=False,
        flag_value="input",
        type=click.Choice(["input", "yaml-input", "output"]),
        help="Print a request to fill in, or the shape of the response; AWS is not called.",
    ),
    click.option("--query", metavar="JMESPATH", help="Print only what this selects from the response."),
    click.option(
        "--output",
        type=click.Choice(assume_output.FORMS),
        help="Print the API's response, in this form, instead of the JSON that SDKs read.",
    ),
    click.option("--color", type=click.Choice([*COLORS]), default="auto", help="Colours of a table."),
    click.option("--no-verify-ssl", "verified", flag_value=False, default=True,
                 help="Do not verify the certificate of STS; the session is not cached."),
    click.option("--debug", is_flag=True, help="Log details to credhelper.log, never a secret."),
    click.option("--no-sign-request", is_flag=True, help="Refused: AWS answers no unsigned call."),
    click.option("--cli-auto-prompt", is_flag=True, help="Prompt for missing parameters."),
)  # fmt: skip

_OURS: Final = (
    click.option(
        "--credential-stdin",
        is_flag=True,
        help="Sign with the credentials on stdin (JSON).",
    ),
    cache_flags,
    show_flag,
    consent_flags,
)

_IGNORED: Final = tuple(
    click.option(
        name,
        expose_value=False,
        is_flag=not values,
        type=click.Choice(values) if values else None,
        help=f"Accepted without effect: {why}.",
    )
    for name, values, why in (
        ("--no-paginate", (), "there is one answer"),
        ("--no-cli-pager", (), "no pager is started"),
        ("--no-cli-auto-prompt", (), "there is no prompt without --cli-auto-prompt"),
        ("--cli-binary-format", ("base64", "raw-in-base64-out"), "no parameter is binary"),
    )
)
