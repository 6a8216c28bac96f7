"""The AWS side of this machine: its two files, what wins over us in them, the commands that they run."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.awsconfig import command, conflicts, profiles
from credhelper.awsconfig import file as config_file
from credhelper.config.toml import nearest
from credhelper.deadline import LateError, Running
from credhelper.doctor.findings import fine, note, problem, trouble
from credhelper.errors import ConfigError
from credhelper.sessions import caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit

SETUP: Final = "run 'credhelper setup', which writes a command that works in every SDK"
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Entry:
    """A profile of ~/.aws/config that runs us: with which program, for which of ours ('' where not clear)."""

    name: str
    program: str
    profile: str


def files(visit: Visit) -> Iterator[Finding]:
    """Read by botocore, with nothing in them or in the environment that wins over us."""
    found = profiles.read(visit.app.environ)
    for path in (found.config_path, found.credentials_path):
        if os.path.exists(path) and not config_file.reads_config(path):
            yield problem("aws files", f"neither boto3 nor the AWS CLI reads '{path}'", "repair it")
            return
    entries = list(_entries(found, visit))
    if not entries:
        whom = " or ".join(f"'{name}'" for name in visit.names) or "any profile"
        yield note("aws files", f"nothing in '{found.config_path}' runs credhelper for {whom}", SETUP)
        return
    names = [entry.name for entry in entries]
    rivals = list(_rivals(found, names, visit))
    yield from rivals
    if not any(finding.level == "problem" for finding in rivals):
        yield fine("aws files", f"'{found.config_path}' runs credhelper for profiles: {len(names)}")


def _rivals(found: AwsFiles, names: list[str], visit: Visit) -> Iterator[Finding]:
    config, credentials = config_file.read(found.config_path), config_file.read(found.credentials_path)
    for each in conflicts.find_conflicts(config, credentials, names, visit.app.environ):
        if each.path is None:  # it depends on who asks, and how
            yield note("aws files", each.sentence, each.hint)
        else:
            yield problem("aws files", each.sentence, each.hint)


def commands(visit: Visit) -> Iterator[Finding]:
    """Every command that ~/.aws/config runs for us answers, and means a profile that there is."""
    try:
        entries = list(_entries(profiles.read(visit.app.environ), visit))
    except ConfigError:  # said by the check of the files
        return
    yield from _strangers(entries, visit)
    answering: dict[str, Running[bool]] = {}
    for program in dict.fromkeys(entry.program for entry in entries):
        path = shutil.which(program, path=visit.app.environ.get("PATH"))
        if path is None:
            yield problem("commands", f"there is no program '{program}', which ~/.aws/config runs", SETUP)
        else:
            answering[path] = _start(os.path.abspath(path), visit)
    for path, running in answering.items():
        try:
            answers = running.wait(visit.seconds(ANSWER_SECONDS))
        except LateError:
            answers = False
        if answers:
            yield fine("commands", f"'{path}' answers")
        else:
            yield problem(
                "commands", f"'{path}', which ~/.aws/config runs, does not answer '--version'", SETUP
            )


def aws_cli(visit: Visit) -> Iterator[Finding]:
    """The AWS CLI, for logins and for whoever asks credhelper through it."""
    path = shutil.which("aws", path=visit.app.environ.get("PATH"))
    if path is None:
        yield note(
            "aws", "there is no 'aws' on the PATH", "install the AWS CLI, where you need 'aws sso login'"
        )
    else:
        yield fine("aws", f"the AWS CLI is '{path}'")


def _start(path: str, visit: Visit) -> Running[bool]:
    return Running(lambda: command.answers_version(path, visit.app.environ))


def _entries(found: AwsFiles, visit: Visit) -> Iterator[Entry]:
    """What runs us; where profiles are named, for one of these."""
    for name, section in found.profiles.items():
        entry = _entry(name, section.get("credential_process", ""))
        if entry and (not visit.names or _answers(entry, visit.names)):
            yield entry


def _answers(entry: Entry, names: tuple[str, ...]) -> bool:
    """Whether it runs us for one of these; a name without a target stands for all its targets."""
    return entry.profile in names or entry.profile.partition("@")[0] in names


def _entry(name: str, command: str) -> Entry | None:
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or not caller.CREDHELPER.fullmatch(os.path.basename(words[0])):
        return None
    launcher = "-get" in os.path.basename(words[0])
    verb, asked, *_ = [*(["get"] if launcher else []), *words[1:], "", ""]
    return Entry(name, words[0], "" if verb != "get" or asked.startswith("-") else asked)


def _strangers(entries: list[Entry], visit: Visit) -> Iterator[Finding]:
    """Commands for profiles that there are none of."""
    try:
        config = visit.app.config
    except ConfigError:
        return
    for entry in entries:
        name, at, _ = entry.profile.partition("@")
        if name and name not in config.names:
            yield problem(
                "commands",
                f"AWS profile '{entry.name}' runs credhelper for '{entry.profile}', which is no profile",
                *(nearest(name, config.names) or (SETUP,)),
            )
        elif at:
            try:
                config.profile(entry.profile)
            except ConfigError as error:
                yield trouble("commands", error)
