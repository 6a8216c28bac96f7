"""Checks of the AWS files: whether botocore reads them, what overrides credhelper, and their commands."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.awsconfig import command as awsconfig_command
from credhelper.awsconfig import conflicts, profiles
from credhelper.awsconfig import file as config_file
from credhelper.config.toml import nearest
from credhelper.deadline import LateError, Running
from credhelper.doctor.findings import fine, from_error, note, problem
from credhelper.errors import ConfigError
from credhelper.sessions import caller

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Examination

SETUP: Final = "run 'credhelper setup', which writes a command that works in every SDK"
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True)
class ConfiguredCommand:
    """An AWS profile that runs credhelper: the program, and the credhelper profile ('' if not clear)."""

    name: str
    program: str
    profile: str


def files(examination: Examination) -> Iterator[Finding]:
    """Whether botocore reads both files, and nothing in them or the environment overrides credhelper."""
    found = profiles.read(examination.app.environ)
    for path in (found.config_path, found.credentials_path):
        if os.path.exists(path) and not config_file.reads_config(path):
            yield problem("aws files", f"neither boto3 nor the AWS CLI reads '{path}'", "fix the file")
            return
    commands = list(_commands(found, examination))
    if not commands:
        whom = " or ".join(f"'{name}'" for name in examination.names) or "any profile"
        yield note("aws files", f"nothing in '{found.config_path}' runs credhelper for {whom}", SETUP)
        return
    overridden = False
    config, credentials = config_file.read(found.config_path), config_file.read(found.credentials_path)
    names = [command.name for command in commands]
    for each in conflicts.find_conflicts(config, credentials, names, examination.app.environ):
        in_file = each.path is not None  # a variable may be set for this process alone
        overridden |= in_file
        yield (problem if in_file else note)("aws files", each.sentence, each.hint)
    if not overridden:
        yield fine("aws files", f"'{found.config_path}' runs credhelper for profiles: {len(names)}")


def commands(examination: Examination) -> Iterator[Finding]:
    """Whether each command that ~/.aws/config runs for credhelper answers, for a profile that exists."""
    environ = examination.app.environ
    try:
        found = list(_commands(profiles.read(environ), examination))
    except ConfigError:  # the check of the files reports it
        return
    yield from _unknown_profiles(found, examination)
    answering: dict[str, Running[bool]] = {}
    for program in dict.fromkeys(command.program for command in found):
        path = shutil.which(program, path=environ.get("PATH"))
        if path is None:
            yield problem("commands", f"there is no program '{program}', which ~/.aws/config runs", SETUP)
        else:
            answering[path] = _start(os.path.abspath(path), environ)
    for path, running in answering.items():
        try:
            answers = running.wait(examination.seconds(ANSWER_SECONDS))
        except LateError:
            answers = False
        if answers:
            yield fine("commands", f"'{path}' answers")
        else:
            sentence = f"'{path}', which ~/.aws/config runs, does not answer '--version'"
            yield problem("commands", sentence, SETUP)


def aws_cli(examination: Examination) -> Iterator[Finding]:
    """Whether there is an AWS CLI, for 'aws sso login'."""
    path = shutil.which("aws", path=examination.app.environ.get("PATH"))
    if path is None:
        yield note("aws", "there is no 'aws' on the PATH", "install the AWS CLI if you need 'aws sso login'")
    else:
        yield fine("aws", f"the AWS CLI is '{path}'")


def _start(path: str, environ: Mapping[str, str]) -> Running[bool]:
    return Running(lambda: awsconfig_command.answers_version(path, environ))


def _commands(files: AwsFiles, examination: Examination) -> Iterator[ConfiguredCommand]:
    """The AWS profiles that run credhelper, for the examined profiles; a name includes all its targets."""
    names = examination.names
    for name, section in files.profiles.items():
        found = _parse(name, section.get("credential_process", ""))
        if found and (not names or {found.profile, found.profile.partition("@")[0]} & {*names}):
            yield found


def _parse(name: str, command: str) -> ConfiguredCommand | None:
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or not caller.CREDHELPER.fullmatch(os.path.basename(words[0])):
        return None
    launcher = "-get" in os.path.basename(words[0])
    verb, profile, *_ = [*(["get"] if launcher else []), *words[1:], "", ""]
    known = verb == "get" and not profile.startswith("-")
    return ConfiguredCommand(name, words[0], profile if known else "")


def _unknown_profiles(found: list[ConfiguredCommand], examination: Examination) -> Iterator[Finding]:
    try:
        config = examination.app.config
    except ConfigError:
        return
    for each in found:
        name, at, _ = each.profile.partition("@")
        if name and name not in config.names:
            yield problem(
                "commands",
                f"AWS profile '{each.name}' runs credhelper for '{each.profile}', which does not exist",
                *(nearest(name, config.names) or (SETUP,)),
            )
        elif at:
            try:
                config.profile(each.profile)
            except ConfigError as error:
                yield from_error("commands", error)
