"""`assume-root` and `assume-role`: the STS calls, with the options of the AWS CLI."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import app
from credhelper.assume import options as assume_options
from credhelper.assume import request as assume_request
from credhelper.assume import yaml
from credhelper.cli import assume_output
from credhelper.cli.assume_options import COLORS, ApiForm, api_options
from credhelper.cli.context import prompt, started
from credhelper.cli.options import version_option
from credhelper.cli.output import JOBS, Batch, emit, print_results, refuse_terminal
from credhelper.config.aws_names import TASKS
from credhelper.config.keys import API, ROLE, ROOT
from credhelper.errors import ConfigError
from credhelper.prompts import PROMPT_SECONDS
from credhelper.prompts.question import Question
from credhelper.run.accounts import LIMIT
from credhelper.run.batch import BatchRun
from credhelper.sessions.consent import UserInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.keys import Key, Kind
    from credhelper.credentials import Credentials


UNVERIFIED: Final = "--no-verify-ssl: TLS is not verified; the session is not cached"
"""Goes to the log, and to stderr on a terminal: SDKs give a pipe, and take stderr for an error."""


@click.command("assume-root", cls=ApiForm)
@version_option
@api_options(ROOT)
def assume_root(**options: Any) -> None:
    """Call AssumeRoot with the options of 'aws sts assume-root', without a profile.

    The session is cached, shared and recorded like that of a profile. The output is the JSON that SDKs read;
    --output prints the API's response instead. [defaults] of config.toml apply; the file is not needed.

    With '--target-principal -', assume-root reads principals from stdin, one a line, and prints a line of
    JSON for each when it is ready. These sessions are not cached. The exit status is 0 only if all succeeded.

    \b
    Examples:
      credhelper assume-root --target-principal 111122223333 \\
        --task-policy-arn arn=arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy \\
        --region us-east-1 --profile org-admin | jq .Expiration
      credhelper assume-root --target-principal payments-prod \\
        --task-policy-arn IAMAuditRootUserCredentials --output response | jq .
      credhelper assume-root --target-principal - \\
        --task-policy-arn IAMAuditRootUserCredentials <accounts.txt >sessions.jsonl
    """
    _run(ROOT, options)


@click.command("assume-role", cls=ApiForm)
@version_option
@api_options(ROLE)
def assume_role(**options: Any) -> None:
    """Call AssumeRole with the options of 'aws sts assume-role', without a profile.

    The session is cached, shared and recorded like that of a profile. The output is the JSON that SDKs read;
    --output prints the API's response instead. [defaults] of config.toml apply; the file is not needed.

    \b
    Examples:
      credhelper assume-role --role-arn arn:aws:iam::222233334444:role/Developer \\
        --role-session-name me --tags Key=Team,Value=Payments | jq .Expiration
      credhelper assume-role --cli-input-json file://request.json --query AssumedRoleUser.Arn | cat
    """
    _run(ROLE, options)


def _run(kind: Kind, options: Mapping[str, Any]) -> None:
    if options["no_sign_request"]:
        raise ConfigError(f"'--no-sign-request' is not possible: AWS answers no unsigned {API[kind]}")
    if options["skeleton"] in ("input", "yaml-input"):
        form = "yaml" if options["skeleton"] == "yaml-input" else "json"
        emit(assume_output.rendered(assume_options.skeleton(kind), form))
        return
    query = None if options["query"] is None else assume_output.Query(options["query"], kind)
    if (options["output"] or "").startswith("yaml"):
        yaml.library()  # fails before a session is minted
    if options["skeleton"] is None:
        refuse_terminal(show=options["show"])
    request = _request(kind, options)
    if request.is_for_many:
        _check_for_many(options)
    opened = _open(options)
    if options["skeleton"] == "output":
        request.call(opened)
        emit(_printed(assume_output.SAMPLES[kind], query, options))
        return
    if not request.verified:
        opened.caller.log.warning(f"{assume_request.VERBS[kind]}: {UNVERIFIED}")
        if os.isatty(2):
            os.write(2, f"credhelper: warning: {UNVERIFIED}\n".encode())
    if request.is_for_many:
        _answer_each(opened, request, query, options["output"])
        return
    mode: CacheMode = "mint" if options["refresh"] else "get"
    credentials = request.answer(opened, mode=mode, cache=not options["no_cache"])
    as_envelope = query is None and options["output"] is None
    emit(credentials.envelope() if as_envelope else _printed(assume_output.of(credentials), query, options))


def _check_for_many(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for options that do not go with '--target-principal -'."""
    if options["credential_stdin"]:
        raise ConfigError("'--credential-stdin' and '--target-principal -' both read stdin: give one")
    if options["output"] not in (None, "json", "response"):
        raise ConfigError(f"principals from stdin are answered in lines of JSON, not as {options['output']}")
    if options["refresh"]:
        raise ConfigError("'--refresh' does not go with principals from stdin, for whom all is minted")


def _answer_each(
    opened: App, request: assume_request.OneOff, query: assume_output.Query | None, output: str | None
) -> None:
    """Print a line of JSON for each principal on stdin. Raises CredhelperError if one failed."""

    def document(credentials: Credentials) -> dict[str, Any]:
        if query is not None:
            return {"Result": query.of(assume_output.of(credentials))}
        return json.loads(credentials.envelope()) if output is None else assume_output.of(credentials)

    run = BatchRun(opened, lambda: request.call(opened, may_ask=True))
    found = assume_request.principals(opened.config, sys.stdin.buffer.read(LIMIT + 1))
    batch = Batch("assume-root", len(found), "principals", "in their lines 'Error' says what went wrong")
    print_results(batch, run, assume_request.answer_each(run, found, document, JOBS))


def _printed(document: Any, query: assume_output.Query | None, options: Mapping[str, Any]) -> bytes:
    found = document if query is None else query.of(document)
    return assume_output.rendered(found, options["output"] or "json", color=COLORS[options["color"]])


def _open(options: Mapping[str, Any]) -> App:
    if options["credential_stdin"]:
        os.environ.pop("AWS_SECURITY_TOKEN", None)
        os.environ.update(assume_request.variables(sys.stdin.buffer.read(LIMIT)))
    environ = {**os.environ, "CREDHELPER_LOG": "debug"} if options["debug"] else os.environ
    said = UserInput(options["reason"], options["yes"])
    return app.open_app(environ, started(), said, optional=True)


def _request(kind: Kind, options: Mapping[str, Any]) -> assume_request.OneOff:
    """The request that the options describe. Raises ConfigError, and InteractionError without a prompt."""
    parameters = {**_input(kind, options), **_given(assume_options.keys_of(kind), options)}
    for key in assume_options.missing(kind, parameters):
        if not options["cli_auto_prompt"]:
            hint = f"one of {', '.join(TASKS)}" if key.name == "task_policy_arn" else key.meaning
            raise ConfigError(f"'{key.option}' is missing", hint)
        question = Question("reason", API[kind], (key.meaning,), key.option)
        parameters[key.name] = assume_options.parse(key, [prompt(question, PROMPT_SECONDS)])
    settings = {name: options[name] for name in assume_options.SETTINGS if options[name] is not None}
    for name in ("read_timeout", "connect_timeout"):
        if name in settings:
            settings[name] = assume_request.bounded(settings[name])
    if options["credential_stdin"]:
        if "source_profile" in settings:
            raise ConfigError("'--credential-stdin' and '--profile' both say whose keys sign: give one")
        settings["credential_source"] = "Environment"
    return assume_request.OneOff(kind, parameters, settings, verified=options["verified"])


def _input(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    as_json, as_yaml = options["cli_input_json"], options["cli_input_yaml"]
    if as_json is not None and as_yaml is not None:
        raise ConfigError("'--cli-input-json' and '--cli-input-yaml' are two requests: give one")
    if as_yaml is not None:
        return assume_options.yaml_document(kind, as_yaml)
    return {} if as_json is None else assume_options.json_document(kind, as_json)


def _given(keys: tuple[Key, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters among the options, in the API's shape."""
    given = [(key, options[key.name]) for key in keys if options[key.name] not in (None, ())]
    return {key.name: assume_options.parse(key, text if key.is_list else [text]) for key, text in given}
