"""`explain`: the STS calls of a profile, the origin of each setting, and the prompts to expect.

Nothing is sent and no program is started. A problem with the profile is part of the answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import click

from credhelper.cli import provenance, tables
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_profile, given, json_flag, profile_flags
from credhelper.cli.output import emit, emit_json
from credhelper.cli.provenance import Provenance
from credhelper.config.aws_names import FALLBACK_REGION, TASKS, short_task
from credhelper.config.keys import API, ROLE, ROOT, SESSION
from credhelper.config.profiles import Profile
from credhelper.config.settings import FLAG, Setting
from credhelper.errors import ConfigError, CredhelperError, InteractionError, printable
from credhelper.sessions import caller, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.app import App
    from credhelper.cli.provenance import Document
    from credhelper.config.keys import Kind
    from credhelper.sessions.calls import StsCall

REASON: Final = "REASON"
"""Replaces {reason} in a call for which no reason has been given."""

_ORIGINS: Final = {
    "flag": "the command line",
    "name": "the name",
    "built-in": "default",
    "source": "the source",
}


@click.command("explain")
@click.argument("name", shell_complete=complete_profile)
@json_flag
@click.option("--reason", help="The reason to use for {reason} in names and tags.")
@profile_flags
def explain(name: str, *, as_json: bool, reason: str | None, **flags: Any) -> None:
    """Explain profile NAME: its STS calls, where each setting comes from, and which prompts to expect.

    explain works offline: it sends nothing, starts no program and opens no keyring. If the profile has a
    problem, explain shows it, and how 'credhelper get NAME' would end; its own exit status is still 0.

    \b
    Examples:
      credhelper explain developer
      credhelper explain audit-root@payments-prod
      credhelper explain developer --json | jq .call.parameters
    """
    document = _document(open_app(reason=reason), name, given(flags))
    if as_json:
        emit_json(document)
    else:
        emit(_render(document).encode())


@dataclass(frozen=True)
class Resolution:
    """How far a profile could be resolved, and the problem that stopped it.

    `is_complete`: the call's parameters are those that a mint sends; no target and no reason is missing.
    """

    profile: Profile
    call: StsCall | None = None
    problem: CredhelperError | None = None
    is_complete: bool = True
    needs_reason: bool = False


def _document(app: App, name: str, flags: Mapping[str, Any]) -> Document:
    """What `explain --json` prints. Raises ConfigError for an unknown name."""
    found = _resolve(app, name, flags)
    profile, origins = found.profile, Provenance(app, flags)
    prompts = _prompts(app, found)
    try:
        call, problem = _call(app, found), found.problem
    except CredhelperError as error:  # such as a CA bundle that does not exist
        call, problem = None, found.problem or error
    hops = found.call.hops() if found.call else ()
    asks = any(each["what"] != "renewal" for each in prompts)
    return {
        "profile": name,
        "file": app.config.path,
        "kind": profile.kind or None,
        "description": provenance.masked("description", profile.get("description")),
        "account": profile.account_id if profile.kind else None,
        "account_name": profile.account_name,
        "call": call,
        "chain": [origins.hop(hop, has_key=found.is_complete) for hop in hops],
        "source": origins.source(found.call.source) if found.call else None,
        "settings": [
            *origins.settings(profile),
            *(origins.around(found.call) if found.call else ()),
            *(provenance.defaults(profile, asks=asks) if profile.kind else ()),
        ],
        "task": _task(profile),
        "human": prompts,
        "problem": _problem(problem) if problem else None,
    }


def _resolve(app: App, name: str, flags: Mapping[str, Any]) -> Resolution:
    try:
        profile = app.config.without_target(name, flags)
    except ConfigError as error:
        return Resolution(_unchecked(app, name, flags), problem=error)
    is_open = profile.is_open and "@" not in name
    try:
        profile = profile if is_open else app.config.profile(name, flags)
        try:
            return Resolution(profile, app.planner(by_index=True).call(profile), is_complete=not is_open)
        except InteractionError:
            call = app.planner(lambda _: REASON, by_index=True).call(profile)
            return Resolution(profile, call, is_complete=False, needs_reason=True)
    except CredhelperError as error:
        return Resolution(profile, problem=error, is_complete=False)


def _unchecked(app: App, name: str, flags: Mapping[str, Any]) -> Profile:
    """An invalid profile, with its settings unchecked. Raises ConfigError for an unknown name."""
    bare = name.partition("@")[0]
    table = app.config.table("profiles").get(bare)
    if not isinstance(table, dict):
        app.config.profile(name)
        raise ConfigError(f"'{name}' is not a profile")
    layers = ((app.config.table("defaults"), "defaults"), (table, f"profiles.{bare}"), (flags, FLAG))
    settings = {key: Setting(value, origin) for layer, origin in layers for key, value in layer.items()}
    return Profile(name, cast("Kind", ""), settings)


def _call(app: App, found: Resolution) -> Document | None:
    """The call as it would be sent; without a source only what the profile itself says."""
    profile, call = found.profile, found.call
    if not profile.kind:
        return None
    if call is None:
        names = parameters.NameContext(caller.user(app.environ), caller.host(app.environ), lambda _: REASON)
        region = profile.get("sts_region") or profile.get("region")
        sent, endpoint = parameters.of(profile, region or FALLBACK_REGION["aws"], names), None
    else:
        from credhelper.aws.sts import Sts

        sent, region = dict(call.parameters), call.endpoint.region
        endpoint = provenance.without_password(Sts(app.environ).address(call))
    return {
        "api": API[profile.kind],
        "parameters": provenance.without_assertions(sent),
        "region": region,
        "endpoint": endpoint,
        "key": call.key if call and found.is_complete else None,
    }


def _problem(error: CredhelperError) -> Document:
    return {
        "sentence": printable(provenance.without_password(error.sentence)),
        "hints": [printable(hint) for hint in error.hints if hint],
        "exit_status": error.status,
    }


def _task(profile: Profile) -> Document | None:
    if profile.kind != ROOT:
        return None
    policy = short_task(profile.get("task_policy_arn"))
    about = dict.fromkeys(("words", "actions", "bounds", "feature"))
    if task := TASKS.get(policy):
        about = {
            "words": task.purpose,
            "actions": [*task.actions],
            "bounds": task.bounds,
            "feature": task.feature,
        }
    return {"policy": policy, **about}


def _prompts(app: App, found: Resolution) -> list[Document]:
    """The prompts of all calls of the chain."""
    if found.call is None:
        return _prompts_of(app, found.profile, None)
    prompts = [each for hop in found.call.hops() for each in _prompts_of(app, hop.profile, hop)]
    if found.needs_reason and not any(each["what"] == "reason" for each in prompts):
        sentence = "a reason, which is a part of the call"
        prompts.append({"what": "reason", "now": True, "profile": found.profile.name, "sentence": sentence})
    return prompts


def _prompts_of(app: App, profile: Profile, call: StsCall | None) -> list[Document]:
    """What a mint of this profile prompts for, and whether the next one does."""
    found = []
    device = profile.get("mfa_serial") if call is None else call.parameters.get("SerialNumber")
    if device and profile.kind in (ROLE, SESSION):
        command = provenance.masked("mfa_command", profile.get("mfa_command"))
        found.append(("mfa", f"an MFA code of '{device}'{f', from {command[0]!r}' if command else ''}"))
    if profile.confirm:
        found.append(("confirm", f"a confirmation, valid for {profile.confirm_for:.0f} s"))
    if reason := profile.require_reason:
        matching = f" that matches '{reason}'" if isinstance(reason, str) else ""
        found.append(("reason", f"a reason{matching}"))
    if seconds := profile.renew_for:
        found.append(("renewal", f"a new login after {seconds:.0f} s of renewals"))
    now = {"mfa", *(app.consent().wants(profile) if call else ())}
    return [
        {"what": what, "now": what in now, "profile": profile.name, "sentence": sentence}
        for what, sentence in found
    ]


def _render(document: Document) -> str:
    sections = [_headline(document), _parameters(document), _chain(document), _settings(document)]
    return "\n".join(filter(None, [*sections, _prompts_and_problem(document)]))


def _headline(document: Document) -> str:
    call, account = document["call"], document["account"]
    return tables.pairs(
        ("profile", document["profile"]),
        ("", document["description"]),
        ("account", f"{account} ({document['account_name']})" if document["account_name"] else account),
        ("call", call and f"{call['api']}{' in ' if call['region'] else ''}{call['region'] or ''}"),
        ("endpoint", call and call["endpoint"]),
        ("KEY", call and call["key"]),
        ("file", document["file"]),
    )


def _parameters(document: Document) -> str:
    sent = document["call"]["parameters"] if document["call"] else {}
    rows = [tables.Row(pair) for name, value in sent.items() for pair in _members(name, value)]
    return tables.render({"parameter": 27, "as sent": None}, rows) if rows else ""


def _members(name: str, value: Any) -> list[tuple[str, Any]]:
    """A parameter in the form of the AWS query protocol: `PolicyArns.member.1.arn`."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in _members(f"{name}.{key}", each)]
    if isinstance(value, list):
        numbered = enumerate(value, 1)
        return [pair for number, each in numbered for pair in _members(f"{name}.member.{number}", each)]
    return [(name, value)]


def _chain(document: Document) -> str:
    source = document["source"]
    if source is None:
        return ""
    steps = [
        f"{hop['profile']}: {hop['api']} {hop['target'] or ''}".rstrip() + _place(hop, document["file"])
        for hop in document["chain"]
    ]
    steps.append(f"signed with {_source(source)}{_place(source, document['file'])}")
    return tables.pairs(*((f"{number}.", step) for number, step in enumerate(steps, 1)))


def _source(source: Document) -> str:
    name, key, login = source["name"], source["access_key_id"], source["login"]
    parts = [
        source["place"].replace("aws", "AWS") + (f" '{name}'" if name and name != "default" else ""),
        key and f"access key {key}",
        login and f"after '{login}'",
    ]
    return ", ".join(part for part in parts if part)


def _place(where: Document, file: str) -> str:
    if where["line"] is None:
        return ""
    return f" (line {where['line']})" if where["file"] == file else f" ({where['file']} line {where['line']})"


def _settings(document: Document) -> str:
    rows = [
        tables.Row(
            (each["key"], _value(each["value"]), _origin(each)), "dim" if each["from"] == "built-in" else ""
        )
        for each in document["settings"]
    ]
    return tables.render({"key": 27, "value": None, "from": None}, rows) if rows else ""


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _origin(setting: Document) -> str:
    if setting["line"] is not None:
        return f"line {setting['line']} [{setting['in']}]"
    return str(setting["in"] or _ORIGINS.get(setting["from"], setting["from"]))


def _prompts_and_problem(document: Document) -> str:
    task, problem = document["task"], document["problem"]
    prompts = [f"{each['sentence']}{_answered(each)} ({each['profile']})" for each in document["human"]]
    known = task and task["actions"]
    return tables.pairs(
        ("task", task and f"{task['policy']}: {task['words'] or 'not one of the five root tasks of AWS'}"),
        ("allows", known and f"{', '.join(task['actions'])} on {task['bounds']}"),
        ("needs", known and f"{task['feature']}, enabled in the organization"),
        *(("prompt", each) for each in prompts or ([] if problem else ["none"])),
        ("problem", problem and problem["sentence"]),
        *(("hint", hint) for hint in (problem["hints"] if problem else ())),
        ("", problem and f"'credhelper get {document['profile']}' ends with status {problem['exit_status']}"),
    )


def _answered(prompt: Document) -> str:
    return ", already given" if prompt["what"] in ("confirm", "reason") and not prompt["now"] else ""
