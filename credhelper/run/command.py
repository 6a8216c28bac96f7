"""Running a command: the environment that `exec` gives it, its signals, and how it ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from credhelper.awsconfig import profiles
from credhelper.config.toml import lower_first
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.credentials import Credentials

OTHER_SOURCES: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
"""What would have an SDK look elsewhere, or send somebody else's token to us."""

KEY_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCESS_KEY",  # these two are read by the SDKs for Go and Java
    "AWS_SECRET_KEY",
)
"""Keys in the environment, which every SDK prefers to an endpoint."""

WINNING_KEYS: Final = (
    "aws_access_key_id",
    "role_arn",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
    "login_session",
    "credential_process",
)
"""The keys of [default] with which an SDK finds credentials there, before it asks an endpoint."""


class NotFoundError(CredhelperError):
    """There is no such program: the exit status that shells give it."""

    status: ClassVar[int] = 127


class NotExecutableError(CredhelperError):
    """The program is there and cannot be run: the exit status that shells give it."""

    status: ClassVar[int] = 126


def exports(
    environ: Mapping[str, str],
    credentials: Credentials,
    profile_name: str,
    account_id: str | None,
    region: str | None,
) -> dict[str, str]:
    """What `exec` and `env` export; `environ` is the caller's, whose own region counts more than `region`."""
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
        "AWS_CREDENTIAL_EXPIRATION": utc(credentials.expiration),
        **_context(environ, profile_name, account_id, region),
    }


def _context(
    environ: Mapping[str, str], profile_name: str, account_id: str | None, region: str | None
) -> dict[str, str]:
    """Who and where. A caller that has set one of the two regions means it for both."""
    names = ("AWS_REGION", "AWS_DEFAULT_REGION")
    chosen = next((environ[name] for name in names if environ.get(name)), region)
    regions = {name: environ.get(name) or chosen or "" for name in names}
    found = {"CREDHELPER_PROFILE": profile_name, "CREDHELPER_ACCOUNT": account_id or "", **regions}
    return {name: value for name, value in found.items() if value}


def environment(
    environ: Mapping[str, str],
    credentials: Credentials,
    profile_name: str,
    account_id: str | None,
    region: str | None,
) -> dict[str, str]:
    """The environment of a command: the caller's, without other sources of credentials, and `exports`."""
    return {**_kept(environ), **exports(environ, credentials, profile_name, account_id, region)}


def refuse_winners(files: AwsFiles) -> None:
    """Raise ConfigError where [default] in an AWS file would win over an endpoint."""
    default = files.profiles.get("default", {})
    for key in WINNING_KEYS:
        if key in default:
            raise ConfigError(
                f"'{_file_with(key, files)}': '{key}' in [default] would win over the endpoint",
                "move it into a profile with a name, or run 'credhelper exec' without --serve",
            )


def served_environment(
    environ: Mapping[str, str],
    endpoint: Mapping[str, str],
    profile_name: str,
    account_id: str | None,
    region: str | None,
) -> dict[str, str]:
    """The environment of a command that asks an endpoint, whose own variables are `endpoint`."""
    kept = {name: value for name, value in _kept(environ).items() if name not in KEY_VARIABLES}
    return {**kept, **_context(environ, profile_name, account_id, region), **endpoint}


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    gone = {*OTHER_SOURCES, "CREDHELPER_PROFILE", "CREDHELPER_ACCOUNT"}  # of an `exec` around this one
    return {name: value for name, value in environ.items() if name not in gone}


def _file_with(key: str, files: AwsFiles) -> str:
    """The file that has this key in [default]: the credentials file, which wins, else the config."""
    alone = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": files.credentials_path}
    found = key in profiles.read(alone).profiles.get("default", {})
    return files.credentials_path if found else files.config_path


def run(command: Sequence[str], environ: Mapping[str, str], *, replace: bool = False) -> int:
    """Run a command, or the user's shell where there is none; returns its exit status, 128+n for signal n.

    With `replace` and where the system can do that, this process becomes the command and never returns.
    Otherwise the command gets the signals that we get; only the main thread can do that. Raises
    NotFoundError, NotExecutableError.
    """
    words = list(command) or [_shell(environ)]
    program = find(command, environ)
    return _replace(program, words, environ) if replace else _run(program, words, environ)


def _shell(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        return environ.get("COMSPEC") or "cmd.exe"
    return environ.get("SHELL") or "/bin/sh"


def find(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The absolute path of what `run` would run, looked for where the command's own PATH says.

    Raises NotFoundError, NotExecutableError.
    """
    name = command[0] if command else _shell(environ)
    path = environ.get("PATH", os.defpath)
    found = shutil.which(name, path=path)
    if found is not None:
        return os.path.abspath(found)
    if shutil.which(name, mode=os.F_OK, path=path) or (os.path.dirname(name) and os.path.exists(name)):
        raise NotExecutableError(f"'{name}' is not executable")
    raise NotFoundError(f"'{name}' not found")


def cannot_be_run(name: str, error: OSError) -> NotExecutableError:
    """The error where the system does not start a program that is there."""
    why = lower_first(error.strerror or "unknown error")
    return NotExecutableError(
        f"'{name}' cannot be run: {why}",
        "if it is a script: does its first line say '#!' and an interpreter that is there?",
    )


if sys.platform == "win32":

    def _run(program: str, words: list[str], environ: Mapping[str, str]) -> int:
        """The console sends Ctrl-C and Ctrl-Break to the command as well; we only have to outlive it."""
        numbers = (signal.SIGINT, signal.SIGBREAK)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            status = subprocess.Popen([program, *words[1:]], env=environ).wait()
        except OSError as error:
            raise cannot_be_run(words[0], error) from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return status if status < 1 << 31 else status - (1 << 32)  # exit takes a signed number

    _replace = _run

else:
    _IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)
    """Python ignores these, and what is ignored stays so in the command: `yes | head` would not end."""

    _PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    _OF_THE_TERMINAL: Final = (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTSTP,
        signal.SIGCONT,
        signal.SIGWINCH,
    )
    """What terminals and shells with jobs send to all of the foreground group, the command among them."""

    def _replace(program: str, words: list[str], environ: Mapping[str, str]) -> NoReturn:
        before = {number: signal.signal(number, signal.SIG_DFL) for number in _IGNORED_BY_PYTHON}
        try:
            os.execve(program, words, environ)  # noqa: S606 - no shell
        except OSError as error:
            for number, handler in before.items():
                signal.signal(number, handler)
            raise cannot_be_run(words[0], error) from None

    def _run(program: str, words: list[str], environ: Mapping[str, str]) -> int:
        with _signals() as signals:
            try:
                pid = os.posix_spawn(program, words, environ, setsigdef=_IGNORED_BY_PYTHON)
            except OSError as error:
                raise cannot_be_run(words[0], error) from None
            return _attend(pid, signals)

    @contextlib.contextmanager
    def _signals() -> Iterator[socket.socket]:
        """A socket from which the numbers of signals can be read, whichever thread they came to."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        ignored = [number for number in (*_PASSED_ON, *_OF_THE_TERMINAL) if _is_ignored(number)]
        caught = {signal.SIGCHLD, *_PASSED_ON, *_OF_THE_TERMINAL} - set(ignored)
        before = {number: signal.signal(number, lambda *_: None) for number in caught}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            reader.close()
            writer.close()

    def _is_ignored(number: signal.Signals) -> bool:
        """`nohup`, and `&` in a script: the command is to ignore it too, and so do we."""
        return signal.getsignal(number) == signal.SIG_IGN

    def _attend(pid: int, signals: socket.socket) -> int:
        """Pass signals on until the command has ended."""
        while True:
            for number in signals.recv(1024):
                _pass_on(pid, number)
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if ended and os.WIFSTOPPED(status):
                _stop_too(pid, os.WSTOPSIG(status))
            elif ended:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code

    def _pass_on(pid: int, number: int) -> None:
        if number in _OF_THE_TERMINAL and _foreground() == os.getpgrp():
            return  # the command has it already, and two interrupts mean more than one to many programs
        if number in _PASSED_ON or number in _OF_THE_TERMINAL:
            with contextlib.suppress(PermissionError):  # sudo: not ours to signal
                os.kill(pid, number)

    def _stop_too(pid: int, number: int) -> None:
        """Stop as the command has: its shell waits for us, and gets its terminal back when we stop.

        SIGSTOP may come from a program that means the command alone, and will continue it alone; in the
        foreground it is a shell's `suspend`. A shell has a group of its own, which the one outside does not
        know: it is us that it puts into the foreground again.
        """
        ours, its, foreground = os.getpgrp(), os.getpgid(pid), _foreground()
        if number != signal.SIGSTOP or foreground in (ours, its):
            os.kill(os.getpid(), signal.SIGSTOP)  # SIGCONT comes to us, and is passed on
            if its == foreground != ours and _foreground() == ours:
                _foreground(its)

    def _foreground(wanted: int | None = None) -> int | None:
        """The group that our terminal sends its signals to, once that is the one `wanted`."""
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError:
            return None
        try:
            if wanted is not None:
                os.tcsetpgrp(terminal, wanted)
            return os.tcgetpgrp(terminal)
        except OSError:
            return None
        finally:
            os.close(terminal)
