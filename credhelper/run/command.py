"""A child process in the foreground: find it, run it, pass signals on, and give its exit status."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from credhelper import processes
from credhelper.errors import CredhelperError, os_reason

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence


class NotFoundError(CredhelperError):
    """There is no such program. Shells give it exit status 127."""

    status: ClassVar[int] = 127


class NotExecutableError(CredhelperError):
    """The program exists and cannot be run. Shells give it exit status 126."""

    status: ClassVar[int] = 126


def run(command: Sequence[str], environ: Mapping[str, str], *, replace: bool = False) -> int:
    """Run a command, or the user's shell if there is none. Returns its exit status, 128+n for signal n.

    With `replace`, on systems that can, this process becomes the command and the call never returns.
    Otherwise the command gets the signals that this process gets; that works in the main thread only.
    Raises NotFoundError, NotExecutableError.
    """
    words = list(command) or [_shell(environ)]
    program = find(command, environ)
    return _replace(program, words, environ) if replace else _run(program, words, environ)


def _shell(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        return environ.get("COMSPEC") or "cmd.exe"
    return environ.get("SHELL") or "/bin/sh"


def find(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The absolute path of what `run` would run, searched in the PATH of `environ`.

    Raises NotFoundError, NotExecutableError.
    """
    name = command[0] if command else _shell(environ)
    path = environ.get("PATH", os.defpath)
    found = processes.find(name, path)
    if found is not None:
        return found
    if shutil.which(name, mode=os.F_OK, path=path) or (os.path.dirname(name) and os.path.exists(name)):
        raise NotExecutableError(f"'{name}' is not executable")
    raise NotFoundError(f"'{name}' not found")


def cannot_run(name: str, error: OSError) -> NotExecutableError:
    """The error for a program that exists and that the system does not start."""
    return NotExecutableError(
        f"'{name}' cannot be run: {os_reason(error)}",
        "if it is a script, check that its first line is '#!' and an existing interpreter",
    )


if sys.platform == "win32":

    def _run(program: str, words: list[str], environ: Mapping[str, str]) -> int:
        """The console sends Ctrl-C and Ctrl-Break to the command as well; this process only outlives it."""
        with processes.CaughtSignals((signal.SIGINT, signal.SIGBREAK)):
            try:
                status = subprocess.Popen([program, *words[1:]], env=environ).wait()
            except OSError as error:
                raise cannot_run(words[0], error) from None
        return status if status < 1 << 31 else status - (1 << 32)  # exit takes a signed number

    _replace = _run

else:
    _IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)
    """Python ignores these, and a child inherits that: `yes | head` would not end."""

    _FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    _FROM_TERMINAL: Final = (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTSTP,
        signal.SIGCONT,
        signal.SIGWINCH,
    )
    """Terminals and shells with job control send these to the whole foreground group."""

    def _replace(program: str, words: list[str], environ: Mapping[str, str]) -> NoReturn:
        before = {number: signal.signal(number, signal.SIG_DFL) for number in _IGNORED_BY_PYTHON}
        try:
            os.execve(program, words, environ)  # noqa: S606 - no shell
        except OSError as error:
            for number, handler in before.items():
                signal.signal(number, handler)
            raise cannot_run(words[0], error) from None

    def _run(program: str, words: list[str], environ: Mapping[str, str]) -> int:
        forwarded = [each for each in (*_FORWARDED, *_FROM_TERMINAL) if not processes.is_ignored(each)]
        with processes.CaughtSignals((signal.SIGCHLD, *forwarded)) as signals:
            try:
                pid = os.posix_spawn(program, words, environ, setsigdef=_IGNORED_BY_PYTHON)
            except OSError as error:
                raise cannot_run(words[0], error) from None
            return _wait(pid, signals)

    def _wait(pid: int, signals: socket.socket) -> int:
        """Forward signals until the command has ended."""
        while True:
            for number in signals.recv(1024):
                _forward(pid, number)
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if ended and os.WIFSTOPPED(status):
                _stop_too(pid, os.WSTOPSIG(status))
            elif ended:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code

    def _forward(pid: int, number: int) -> None:
        if number in _FROM_TERMINAL and _foreground_group() == os.getpgrp():
            return  # the command has it already, and to many programs a second interrupt means more
        if number in _FORWARDED or number in _FROM_TERMINAL:
            with contextlib.suppress(PermissionError):  # sudo: the command belongs to another user
                os.kill(pid, number)

    def _stop_too(pid: int, number: int) -> None:
        """Stop with the command, so that the calling shell gets its terminal back.

        SIGSTOP may come from a program that means the command alone, and that will continue it alone; in the
        foreground it is a shell's `suspend`. Such a shell has a process group of its own, unknown to the
        outer shell, which puts this process into the foreground again: the group is handed on.
        """
        own, child, foreground = os.getpgrp(), os.getpgid(pid), _foreground_group()
        if number != signal.SIGSTOP or foreground in (own, child):
            os.kill(os.getpid(), signal.SIGSTOP)  # this process gets SIGCONT, and forwards it
            if child == foreground != own and _foreground_group() == own:
                _foreground_group(child)

    def _foreground_group(new: int | None = None) -> int | None:
        """The process group to which the terminal sends its signals, after setting it to `new`."""
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError:
            return None
        try:
            if new is not None:
                os.tcsetpgrp(terminal, new)
            return os.tcgetpgrp(terminal)
        except OSError:
            return None
        finally:
            os.close(terminal)
