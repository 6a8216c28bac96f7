"""Prompts: every driver keeps the same promises, and the drivers are tried in the documented order.

Each question is asked by a process of its own whose stdin, stdout and stderr are pipes, as under an SDK. Its
controlling terminal is a real pty, whose session belongs to a process that stays, as a shell does; or it has
none. The dialogs are programs that keep the real ones' rules.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import prompts
from credhelper.errors import CancelledError, ConfigError, InteractionError, NoPromptError
from credhelper.prompts import Question
from credhelper.prompts.console import Console

from sandbox import is_alive, until
from terminal import DIALOGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TITLE = "profile 'developer'"
LABEL = "MFA code of 'arn:aws:iam::999988887777:mfa/me'"
LINES = ["account payments-prod (111122223333)", "asked by terraform; 3 callers wait"]
HINT = "run 'credhelper login developer'"
NO_PROMPT = ("NoPromptError", f"{TITLE}, and no prompt is possible")
CANCELLED = ("CancelledError", f"cancelled: {TITLE}")
CODE = "types 123456"
HOSTILE = "a\x1b[2J\x07b\nforged\rline\x9bc\u2028d\u202ee"
SHOWN_HOSTILE = r"a\x1b[2J\x07b\x0aforged\x0dline\x9bc\u2028d\u202ee"
TRICKY = r"--help <b>x</b> &amp; 100%25 _a __b \n \x41 $(id) {'q'} item 1 of argv"
"""What means something to one of the programs that show it."""

SHELLS = """
import fcntl, json, os, select, signal, socket, sys, termios, time, traceback, types
from contextlib import contextmanager
from credhelper import prompts
from credhelper.errors import InteractionError
from credhelper.prompts.console import Console

def ask(task, streams):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    control.close()
    if task["group"] != "the shell's":
        os.setpgid(0, 0)
    if task["group"] == "in front":
        os.tcsetpgrp(terminal, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    if not task["ignores_sigint"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(task["home"])
    sys.platform = task["platform"]
    if task["console"]:
        prompts.Terminal = Console
        sys.modules["msvcrt"] = types.SimpleNamespace(
            kbhit=lambda: bool(select.select([terminal], [], [], 0)[0]),
            getwch=lambda: os.read(terminal, 1).decode("latin-1"),
            putwch=lambda character: os.write(terminal, character.encode("latin-1")),
        )
    turns = []

    @contextmanager
    def turn(seconds):
        turns.append("taken")
        try:
            yield
        finally:
            turns.append("over")

    began = time.monotonic()
    options = {name: task[name] for name in ("command", "choice", "environ", "seconds")}
    try:
        answer = prompts.ask(prompts.Question(**task["question"]), turn=turn, **options)
        said = {"text": answer.text, "driver": answer.driver, "repr": repr(answer)}
    except InteractionError as error:
        said = {"error": type(error).__name__, "sentence": error.sentence, "hints": error.hints}
    said |= {"seconds": time.monotonic() - began, "turns": turns, "stdin": os.read(0, 99).decode()}
    os.write(1, json.dumps(said).encode())

def start(message, streams):
    child = os.fork()
    if not child:
        try:
            ask(json.loads(message), streams)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    for stream in streams:
        os.close(stream)
    return child

def be_a_shell():
    os.setsid()
    if terminal is not None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, to_the_front)
    control.sendall(b"%d\\n" % os.getpid())
    while True:
        message, streams, _, _ = socket.recv_fds(control, 100000, 3)
        if not message:
            os._exit(0)
        child = start(message, streams)
        control.sendall(b"%d\\n" % child)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        to_the_front()
        control.sendall(b"%d\\n" % (999 if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)))

def to_the_front(*_):
    if terminal is not None:
        os.tcsetpgrp(terminal, os.getpgrp())

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    wanted, descriptors, _, _ = socket.recv_fds(socket.socket(fileno=os.dup(0)), 1, 2)
    if not wanted:
        break
    if not os.fork():
        control = socket.socket(fileno=descriptors[0])
        terminal = descriptors[1] if descriptors[1:] else None
        be_a_shell()
    for descriptor in descriptors:
        os.close(descriptor)
"""
"""Starts shells: processes whose session a terminal belongs to, and that start those who ask.

A shell stays when they end: the end of its session would hang up the terminal and reset it.
"""


class Pty:
    """A terminal: what is written to it is kept, and `type` types on it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self._shown = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.before = self.modes

    def _read(self) -> None:
        with suppress(OSError):
            while block := os.read(self.master, 4096):
                self._shown += block

    @property
    def text(self) -> str:
        return self._shown.decode("latin-1")

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def waiting(self) -> int:
        """Bytes that were typed and are not read yet, a line that is not ended included."""
        cooked = self.modes
        tty.setcbreak(self.slave, termios.TCSANOW)
        try:
            return int(struct.unpack("i", fcntl.ioctl(self.slave, termios.FIONREAD, bytes(4)))[0])
        finally:
            termios.tcsetattr(self.slave, termios.TCSANOW, cooked)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode("latin-1"))

    def close(self) -> None:
        os.close(self.slave)
        self._thread.join(5)
        os.close(self.master)


class Shell:
    """The process that starts those who ask, one at a time: `asker` is the latest one's process id."""

    def __init__(self, shells: socket.socket, terminal: Pty | None) -> None:
        self._control, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), *([] if terminal is None else [terminal.slave])]
        socket.send_fds(shells, [b"1"], descriptors)
        theirs.close()
        self.pid = self._number()

    def _number(self) -> int:
        """The next number that it says, read byte by byte: more must not hide in a buffer."""
        said = b""
        while not said.endswith(b"\n"):
            byte = self._control.recv(1)
            assert byte, "the shell has gone"
            said += byte
        return int(said)

    def start(self, task: dict[str, Any]) -> None:
        """Start a process that asks; its stdin is a pipe with a line in it."""
        ours, theirs = zip(*(os.pipe()[:: -1 if number == 0 else 1] for number in range(3)), strict=True)
        socket.send_fds(self._control, [json.dumps(task).encode()], theirs)
        for each in theirs:
            os.close(each)
        os.write(ours[0], b"not for us\n")
        os.close(ours[0])
        self.asker, self._streams = self._number(), ours[1:]

    @property
    def has_news(self) -> bool:
        """Whether the process that asks has ended, or was stopped."""
        return bool(select.select([self._control], [], [], 0)[0])

    def finish(self) -> SimpleNamespace:
        """The outcome of asking: the result that the process reports, its stderr and its exit status."""
        try:
            until(lambda: self.has_news)
        except AssertionError:
            os.kill(self.asker, signal.SIGKILL)
            raise
        with open(self._streams[0], "rb") as stdout, open(self._streams[1], "rb") as stderr:
            said = {"text": None, "error": None, "sentence": "", "hints": [], "repr": "", "saw": []}
            said |= {"stdin": None, **json.loads(stdout.read() or "{}"), "stderr": stderr.read().decode()}
        return SimpleNamespace(**said, status=self._number())

    def close(self) -> None:
        """End it, and with it its session."""
        self._control.close()
        until(lambda: not is_alive(self.pid), 5)


@dataclass
class Machine:
    """Where questions are asked: an environment, programs, a terminal or none, and a person."""

    home: Path
    shells: socket.socket
    terminal: Pty | None = None
    environ: dict[str, str] = field(default_factory=dict)
    platform: str = sys.platform
    console: bool = False
    shell: Shell | None = None

    def __post_init__(self) -> None:
        (self.home / "bin").mkdir()
        self.environ = {"PATH": str(self.home / "bin"), "FAKE_PERSON": str(self.home), **self.environ}

    def program(self, name: str, text: str) -> str:
        """A program on the PATH; returns where it is."""
        path = self.home / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def script(self, text: str) -> None:
        """A shell script named otp, with the system's programs on its PATH."""
        self.environ["PATH"] = f"{self.home / 'bin'}:/usr/bin:/bin"
        self.program("otp", f"#!/bin/sh\n{text}\n")

    def dialogs(self, *names: str) -> None:
        """A display, and programs that show dialogs on it."""
        for name in names:
            self.program(name, f"#!{sys.executable} -IS\n{DIALOGS.read_text()}")
        self.environ["DISPLAY"] = ":0"

    def person(self, *acts: str) -> None:
        """What the person in front of the dialogs does."""
        (self.home / "does").write_text("".join(act + "\n" for act in acts))
        (self.home / "saw").write_text("")

    @property
    def saw(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in read(self.home / "saw").splitlines()]

    @property
    def only(self) -> dict[str, Any]:
        """The one dialog that was shown."""
        (saw,) = self.saw
        return saw

    def start(self, kind: str = "code", **how: Any) -> Shell:
        """Begin to ask. `how` is what ask() takes, texts of the question, and how the process is started."""
        question = {"kind": kind, "title": TITLE, "lines": LINES, "label": LABEL, "hint": HINT}
        question |= {name: how.pop(name) for name in ("title", "lines", "label", "pattern") if name in how}
        task = {"question": question, "command": None, "choice": "auto", "seconds": 20}
        task |= {"group": "the shell's", "ignores_sigint": False, "console": self.console}
        task |= {"environ": self.environ, "home": str(self.home), "platform": self.platform, **how}
        self.shell = self.shell or Shell(self.shells, self.terminal)
        self.shell.start(task)
        return self.shell

    def show(self, kind: str = "code", **how: Any) -> Shell:
        """Begin to ask a person who does not answer; returns once the question is shown."""
        self.person("is away")
        asking = self.start(kind, **how)
        until(lambda: self.saw or (self.terminal and LABEL + ": " in self.terminal.text))
        return asking

    def ask(self, kind: str = "code", *acts: str, **how: Any) -> SimpleNamespace:
        """Ask a person who does these things, one a dialog; `saw` has the text of each."""
        self.person(*acts)
        said = self.start(kind, **how).finish()
        said.saw = [each["text"] for each in self.saw]
        return said

    def type(self, kind: str = "code", *typed: str, **how: Any) -> SimpleNamespace:
        """Ask a person who types these things, each once the question is shown; `saw` is the terminal."""
        terminal, before = self.terminal, len(self.terminal.text)
        asking = self.start(kind, **how)
        label = Question(kind, "", (), how.get("label", LABEL)).label  # type: ignore[arg-type]
        ending = label + (" [y/N] " if kind == "confirm" else ": ")
        for times, keys in enumerate(typed, 1):
            until(lambda times=times: asking.has_news or terminal.text[before:].count(ending) >= times)
            if asking.has_news:
                break
            terminal.type(keys)
        said = asking.finish()
        said.saw = [terminal.text[before:]]
        return said

    def close(self) -> None:
        if self.shell is not None:
            self.shell.close()
            self.shell = None


@pytest.fixture(scope="module")
def shells() -> Iterator[socket.socket]:
    """A socket that hands out shells without starting an interpreter for each."""
    ours, theirs = socket.socketpair()
    with subprocess.Popen([sys.executable, "-c", SHELLS], stdin=theirs):
        theirs.close()
        yield ours
        ours.close()


@pytest.fixture
def machine(tmp_path: Path, shells: socket.socket) -> Iterator[Machine]:
    """A machine without terminal and display."""
    found = Machine(tmp_path, shells)
    yield found
    found.close()


@pytest.fixture
def seated(machine: Machine) -> Iterator[Machine]:
    """A machine with a person at a terminal."""
    terminal = machine.terminal = Pty()
    yield machine
    machine.close()
    terminal.close()


def read(path: Path) -> str:
    """A file's text, empty while there is none."""
    return path.read_text() if path.exists() else ""


def is_whole(said: SimpleNamespace) -> bool:
    """Whether the streams are untouched and the exit status is 0."""
    return (said.status, said.stderr, said.stdin) == (0, "", "not for us\n")


def exposed(said: SimpleNamespace) -> str:
    """All text that may be shown or logged."""
    return "".join([said.sentence, *said.hints, said.stderr, said.repr, *said.saw])


class Asks:
    """What every driver promises.

    `asks(kind, *acts, seconds=…, **texts)` asks a person who does these things in turn: "types X", "yes",
    "no", "is away".
    """

    name: str

    def test_code_is_returned_and_the_streams_stay_untouched(self, asks) -> None:
        said = asks("code", CODE)
        assert (said.text, said.driver, said.turns) == ("123456", self.name, ["taken", "over"]), said
        assert is_whole(said)

    def test_cancelling_ends_the_question_at_once(self, asks) -> None:
        said = asks("code", "no")
        assert (said.error, said.text, said.turns) == ("CancelledError", None, ["taken", "over"]), said
        assert "within" not in said.sentence
        assert is_whole(said)

    def test_no_answer_ends_the_question_in_time(self, asks) -> None:
        said = asks("code", "is away", seconds=0.3)
        assert (said.error, said.text) == ("CancelledError", None), said
        assert "within 0 s" in said.sentence
        assert 0.3 <= said.seconds < 5

    def test_code_is_neither_shown_nor_quoted(self, asks) -> None:
        assert "775533" not in exposed(asks("code", "types 775533"))
        said = asks("code", "types 88664", "types 88664")
        assert said.error == "CancelledError", said
        assert "8866" not in exposed(said)


class Shows(Asks):
    """What the drivers that show the question themselves promise as well."""

    def test_title_lines_and_label_are_shown(self, asks) -> None:
        seen = asks("code", CODE).saw[0]
        assert all(text in seen for text in ("credhelper: profile 'developer'", *LINES, LABEL))

    def test_confirmation_is_yes_or_cancelled(self, asks) -> None:
        said = asks("confirm", "yes")
        assert (said.text, said.driver) == ("yes", self.name), said
        said = asks("confirm", "no")
        assert (said.error, said.text) == ("CancelledError", None)

    def test_reason_is_returned_as_typed(self, asks) -> None:
        reason = r"rotate 50% of %41 keys_now, it's \n <b> $(id)"
        assert asks("reason", f"types {reason}").text == reason

    def test_secret_is_neither_shown_nor_quoted(self, asks) -> None:
        said = asks("secret", "types wJalr/XUtn+FEMI%K7")
        assert said.text == "wJalr/XUtn+FEMI%K7"
        assert "wJalr" not in exposed(said)

    def test_text_like_an_option_markup_or_script_is_shown_as_it_is(self, asks) -> None:
        for kind, act in (("code", CODE), ("confirm", "yes")):
            said = asks(kind, act, title=TRICKY, lines=[TRICKY, TRICKY], label=TRICKY)
            assert said.text in ("123456", "yes"), said
            assert said.saw[-1].count(TRICKY) == 4

    def test_control_characters_are_shown_as_escapes(self, asks) -> None:
        said = asks("code", CODE, title=HOSTILE, lines=[HOSTILE], label=HOSTILE)
        assert said.text == "123456"
        lines = said.saw[-1].replace("\r\n", "\n").split("\n")
        assert all(line.isprintable() and line.isascii() for line in lines if line)
        assert sum(SHOWN_HOSTILE in line for line in lines) == 3

    def test_long_texts_leave_each_other_visible(self, asks) -> None:
        said = asks("confirm", "yes", title="t" * 5000, lines=["%" * 5000, "l" * 5000], label="q" * 5000)
        assert said.text == "yes", said
        assert all(text in said.saw[-1] for text in ("tttt", "%%%%", "llll", "qqqq"))

    def test_wrong_code_is_asked_for_once_more_and_spaces_are_ignored(self, asks) -> None:
        said = asks("code", "types 12345", "types 123 456")
        assert said.text == "123456"
        assert "that was not 6 digits" in said.saw[-1]
        said = asks("code", "types 12345", "types 1234567", CODE)
        assert (said.error, said.text) == ("CancelledError", None)
        assert said.sentence == f"the answer was not 6 digits: {TITLE}"

    def test_reason_has_to_match_the_pattern_and_cannot_be_empty(self, asks) -> None:
        assert asks("reason", "types ", "types because").text == "because"
        assert asks("secret", "types ", "types  ").error == "CancelledError"
        said = asks("reason", "types ", "types see TICKET-4711", pattern="TICKET-[0-9]+")
        assert said.text == "see TICKET-4711"
        said = asks("reason", "types just so", "types just so", pattern="TICKET-[0-9]+")
        assert said.sentence == f"the answer was not a match of 'TICKET-[0-9]+': {TITLE}"


class Typed(Shows):
    name = "tty"
    enter = "\n"

    @pytest.fixture
    def asks(self, seated: Machine) -> Callable[..., SimpleNamespace]:
        keys = {"no": "\x03", "is away": "", "yes": "y\n"}

        def asks(kind: str, *acts: str, **how: Any) -> SimpleNamespace:
            typed = [keys.get(act, act.removeprefix("types ") + "\n") for act in acts]
            return seated.type(kind, *(each.replace("\n", self.enter) for each in typed), **how)

        return asks

    def test_anything_but_yes_cancels_a_confirmation(self, asks) -> None:
        for typed in ("types ", "types yep", "types n"):
            assert asks("confirm", typed, "yes").error == "CancelledError"
        assert asks("confirm", "types YES").text == "yes"

    def test_keys_typed_before_the_question_are_no_answer(self, seated: Machine) -> None:
        seated.terminal.type("y" + self.enter)
        assert seated.type("confirm", seconds=0.5).error == "CancelledError"


class TestTerminal(Typed):
    """The controlling terminal."""

    def test_terminal_modes_are_restored(self, seated: Machine) -> None:
        for kind, typed in (("code", "123456\n"), ("secret", "x\n"), ("reason", "x\n"), ("code", "\x03")):
            seated.type(kind, typed)
            assert seated.terminal.modes == seated.terminal.before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signal_restores_the_echo_and_ends_the_process(self, seated, number) -> None:
        asking = seated.show("secret")
        assert not seated.terminal.modes[3] & termios.ECHO
        os.kill(asking.asker, number)
        assert asking.finish().status == -number
        assert seated.terminal.modes == seated.terminal.before

    def test_ctrl_c_cancels_although_it_was_ignored(self, seated: Machine) -> None:
        said = seated.type("code", "\x03", ignores_sigint=True)
        assert (said.error, said.sentence) == CANCELLED

    def test_ctrl_d_cancels(self, seated: Machine) -> None:
        assert seated.type("code", "\x04").error == "CancelledError"
        assert seated.type("reason", "half\x04\x04").error == "CancelledError"

    def test_ctrl_z_and_ctrl_backslash_do_nothing(self, seated: Machine) -> None:
        said = seated.type("code", "\x1a\x1c123456\n", group="in front")
        assert (said.text, said.status) == ("123456", 0)

    def test_half_an_answer_is_not_left_for_the_shell(self, seated: Machine) -> None:
        assert seated.type("code", "12345", seconds=1).error == "CancelledError"
        assert (seated.terminal.waiting, seated.terminal.modes) == (0, seated.terminal.before)

    def test_raw_terminal_reads_a_line_and_stays_raw(self, seated: Machine) -> None:
        tty.setraw(seated.terminal.slave)
        raw = seated.terminal.modes
        assert seated.type("code", "1239\x7f456\r").text == "123456"
        assert seated.terminal.modes == raw

    def test_halted_terminal_ends_the_question_in_time(self, seated: Machine) -> None:
        termios.tcflow(seated.terminal.slave, termios.TCOOFF)
        said = seated.type("code", seconds=0.6)
        termios.tcflow(seated.terminal.slave, termios.TCOON)
        assert (said.error, said.seconds < 2) == ("CancelledError", True)

    def test_background_process_does_not_prompt_and_is_not_stopped(self, seated: Machine) -> None:
        said = seated.start("code", group="its own").finish()
        assert (said.error, said.status, said.seconds < 1) == ("NoPromptError", 0, True)
        assert LABEL not in seated.terminal.text

    def test_process_moved_to_the_background_ends_without_an_answer(self, seated: Machine) -> None:
        asking, terminal = seated.show(group="in front"), seated.terminal
        os.kill(asking.pid, signal.SIGUSR1)
        until(lambda: os.tcgetpgrp(terminal.master) == asking.pid)
        terminal.type("123456\n")
        said = asking.finish()
        assert (said.error, said.status) == ("NoPromptError", 0)
        assert terminal.modes == terminal.before

    def test_hangup_ends_the_process(self, seated: Machine) -> None:
        asking = seated.show(group="in front")
        os.kill(asking.pid, signal.SIGKILL)
        until(lambda: not is_alive(asking.asker))


class TestConsole(Typed):
    """The console of Windows, through what keeps the shape of msvcrt on a terminal that reads key by key."""

    enter = "\r"

    @pytest.fixture
    def seated(self, seated: Machine) -> Machine:
        tty.setraw(seated.terminal.slave)
        seated.console = True
        for device in ("CONIN$", "CONOUT$"):
            (seated.home / device).touch()
        return seated

    def test_backspace_arrows_and_cancel_keys_work(self, seated: Machine) -> None:
        said = seated.type("reason", "\babx\b\xe0Kc\r")
        assert said.text == "abc"
        assert said.saw[0].endswith("abx\b \bc\r\n")
        for key in ("\x1b", "\x1a", "\x03"):
            said = seated.type("reason", f"a{key}")
            assert (said.error, said.sentence) == CANCELLED

    def test_console_without_devices_is_not_usable(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert not Console().is_usable()
        for device, usable in (("CONIN$", False), ("CONOUT$", True)):
            (tmp_path / device).touch()
            assert Console().is_usable() == usable


class Dialogs(Shows):
    platform = sys.platform

    @pytest.fixture
    def asks(self, machine: Machine) -> Callable[..., SimpleNamespace]:
        machine.platform = self.platform
        machine.dialogs(self.name)
        return machine.ask

    def test_window_has_a_title_hides_codes_and_defaults_to_no(self, machine: Machine, asks) -> None:
        for kind in ("code", "secret"):
            asks(kind, CODE)
            assert (machine.only["hidden"], machine.only["confirm"]) == (True, False)
        assert machine.only["title"] == "credhelper: profile 'developer'"
        asks("confirm", "yes")
        assert (machine.only["confirm"], machine.only["default"]) == (True, "no")

    def test_dialog_ends_with_the_question_and_with_the_process(self, machine: Machine, asks) -> None:
        asks("code", "is away", seconds=0.4)
        assert not is_alive(machine.only["pid"])
        for number, ending in (
            (signal.SIGTERM, (-signal.SIGTERM, None, "")),
            (signal.SIGINT, (0, *CANCELLED)),
        ):
            asking = machine.show()
            os.kill(asking.asker, number)
            said = asking.finish()
            assert (said.status, said.error, said.sentence) == ending
            assert not is_alive(machine.only["pid"])

    def test_answer_with_a_control_character_is_refused(self, asks) -> None:
        assert asks("reason", "types a\x1b[2Jb", "types because").text == "because"

    def test_dialog_that_cannot_be_shown_is_not_a_cancellation(self, machine: Machine, asks) -> None:
        said = asks("code", "broken")
        assert (said.error, said.sentence) == NO_PROMPT
        for program in ("#!/nowhere/at/all\n", "#!/bin/sh\nexit 3\n"):
            machine.program(self.name, program)
            assert asks("code", CODE).error == "NoPromptError"

    def test_dialog_gets_the_time_in_whole_seconds(self, machine: Machine, asks) -> None:
        assert asks("code", CODE, seconds=8.4).text == "123456"
        assert machine.only["seconds"] == 9
        assert asks("code", "gives up").sentence == f"no answer within 20 s: {TITLE}"
        assert machine.only["seconds"] == 20

    def test_no_display_is_not_tried(self, machine: Machine, asks) -> None:
        del machine.environ["DISPLAY"]
        machine.environ["SSH_CONNECTION"] = "192.0.2.1 1 192.0.2.2 22"
        said = asks("code", CODE)
        assert (said.error, machine.saw, said.seconds < 1) == ("NoPromptError", [], True)

    def test_program_in_the_working_directory_is_not_started(self, machine: Machine, asks) -> None:
        (machine.home / self.name).symlink_to(machine.home / "bin" / self.name)
        for path in ("", ".", "bin:", "./bin"):
            machine.environ["PATH"] = path
            assert asks("code", CODE).error == "NoPromptError"
        machine.environ["PATH"] = f".:{machine.home / 'bin'}"
        assert asks("code", CODE).text == "123456"


class TestPinentry(Dialogs):
    name = "pinentry"

    def test_wayland_display_is_enough(self, machine: Machine, asks) -> None:
        machine.environ["WAYLAND_DISPLAY"] = machine.environ.pop("DISPLAY")
        assert asks("code", CODE).text == "123456"

    def test_pinentry_mac_comes_first_without_a_display_variable(self, machine: Machine, asks) -> None:
        machine.platform = "darwin"
        machine.dialogs("pinentry-mac")
        del machine.environ["DISPLAY"]
        machine.program("pinentry", "#!/bin/sh\nexit 3\n")
        assert asks("code", CODE).driver == "pinentry"


class TestZenity(Dialogs):
    name = "zenity"

    def test_variables_for_exit_statuses_have_no_effect(self, machine: Machine, asks) -> None:
        machine.environ |= {"ZENITY_ESC": "0", "ZENITY_CANCEL": "0", "DIALOG_ESC": "0", "ZENITY_TIMEOUT": "0"}
        assert asks("confirm", "no").error == "CancelledError"
        assert asks("confirm", "is away", seconds=0.4).error == "CancelledError"


class TestOsascript(Dialogs):
    name = "osascript"
    platform = "darwin"

    def test_osascript_is_not_used_elsewhere(self, machine: Machine, asks) -> None:
        machine.platform = "linux"
        assert asks("code", CODE).error == "NoPromptError"

    def test_script_does_not_depend_on_the_texts(self, machine: Machine, asks) -> None:
        asks("code", CODE)
        script = machine.only["script"]
        asks("code", CODE, title=TRICKY, lines=[TRICKY], label='" & (do shell script "id") & "')
        assert machine.only["script"] == script
        assert "developer" not in script


class TestCommand(Asks):
    """mfa_command."""

    name = "command"

    @pytest.fixture
    def asks(self, machine: Machine) -> Callable[..., SimpleNamespace]:
        def asks(kind: str, *acts: str, **how: Any) -> SimpleNamespace:
            does = {"no": "exit 1", "is away": "sleep 60"}
            return self.run(machine, does.get(acts[0], f"echo {acts[0][6:]}"), kind=kind, **how)

        return asks

    @staticmethod
    def run(machine: Machine, script: str, *arguments: str, kind: str = "code", **how: Any):
        machine.script(script)
        return machine.start(kind, command=["otp", *arguments], **{"choice": "command", **how}).finish()

    @pytest.mark.parametrize(
        "script", ["echo 'AWS:me   123456'", "printf 123456", "echo 123456; echo 123456; seq 12345678901 1"]
    )
    def test_code_anywhere_in_the_output_is_used(self, machine: Machine, script: str) -> None:
        assert self.run(machine, script).text == "123456"

    @pytest.mark.parametrize(
        ("script", "sentence"),
        [
            ("exit 3", "ended with exit status 3"),
            ("echo 445566; exit 1", "ended with exit status 1"),
            ("kill -9 $$", "was ended by signal 9"),
            ("echo 4455667", "printed no code of 6 digits"),
            ("true", "printed no code of 6 digits"),
            ("echo 445566 445577", "printed more than one code"),
            ("yes 445566", "printed more than 4096 bytes, which is no code"),
        ],
    )
    def test_output_without_one_code_is_an_error_that_does_not_quote_it(self, machine, script, sentence):
        said = self.run(machine, f"echo run >> runs\n{script}")
        assert (said.error, said.sentence) == ("CancelledError", f"mfa_command 'otp' {sentence}"), said
        assert said.hints == ["run it by hand to see its output"]
        assert "4455" not in exposed(said)
        assert read(machine.home / "runs") == "run\n"

    def test_arguments_reach_the_program_unchanged(self, machine: Machine) -> None:
        arguments = ["$(id)", "a b", "; exit", "*", "-x"]
        said = self.run(machine, "printf '%s\\n' \"$@\" > arguments; echo 123456", *arguments)
        assert said.text == "123456"
        assert read(machine.home / "arguments").splitlines() == arguments

    def test_command_is_used_for_codes_alone(self, machine: Machine) -> None:
        for kind in ("confirm", "reason", "secret"):
            assert self.run(machine, "echo 123456", kind=kind).error == "NoPromptError"

    def test_stdin_and_stderr_are_the_terminal(self, seated: Machine) -> None:
        seated.script("echo touch the token >&2\nread pin\necho 12345$pin")
        asking, terminal = seated.start("code", command=["otp"]), seated.terminal
        until(lambda: "touch the token" in terminal.text)
        terminal.type("6\n")
        said = asking.finish()
        assert (said.text, said.driver) == ("123456", "command")
        assert is_whole(said)
        assert LABEL not in terminal.text

    def test_unread_keys_stay_for_the_next_reader(self, seated: Machine) -> None:
        seated.terminal.type("ls\n")
        assert self.run(seated, "echo 123456").text == "123456"
        assert seated.terminal.waiting == len("ls\n")

    def test_without_a_terminal_stdin_and_stderr_are_dev_null(self, machine: Machine) -> None:
        said = self.run(machine, "read line && exit 4; echo to nobody >&2; [ -t 2 ] && exit 5; echo 123456")
        assert said.text == "123456"
        assert is_whole(said)

    def test_terminal_of_another_process_group_is_not_lent(self, seated: Machine) -> None:
        said = self.run(seated, "[ -t 0 ] && exit 4; [ -t 2 ] && exit 5; echo 123456", group="its own")
        assert said.text == "123456"

    @pytest.mark.alone
    @pytest.mark.parametrize("end", ["deadline", "Ctrl-C", "SIGTERM"])
    def test_processes_of_the_program_end_with_it(self, seated: Machine, end: str) -> None:
        seated.script("stty -echo\nsleep 60 &\necho $! > other; echo $$ > pid\nsleep 60")
        asking = seated.start("code", command=["otp"], seconds=1 if end == "deadline" else 20)
        pids = [int(until(lambda name=name: read(seated.home / name))) for name in ("pid", "other")]
        if end == "Ctrl-C":
            seated.terminal.type("\x03")
        if end == "SIGTERM":
            os.kill(asking.asker, signal.SIGTERM)
        assert asking.finish().error == (None if end == "SIGTERM" else "CancelledError")
        assert seated.terminal.modes == seated.terminal.before
        until(lambda: not any(is_alive(pid) for pid in pids), 5)

    def test_program_is_found_on_the_path_or_by_absolute_path(self, machine: Machine) -> None:
        path = machine.program("otp", "#!/bin/sh\necho 123456\n")
        for name in ("none", "./bin/otp", "bin/otp"):
            said = machine.start("code", command=[name], choice="command").finish()
            assert said.error == "NoPromptError"
        assert machine.start("code", command=[path], choice="command").finish().text == "123456"

    def test_program_that_cannot_be_started_is_an_error(self, machine: Machine) -> None:
        machine.program("otp", "#!/nowhere/at/all\n")
        said = machine.start("code", command=["otp"]).finish()
        assert said.sentence == "mfa_command 'otp' cannot be started: no such file or directory"


COMMAND = ("sh", "-c", "echo 111111")


@pytest.fixture
def all_ways(seated: Machine) -> Machine:
    """A person at a terminal with a display, on a Mac: every driver is possible."""
    seated.environ["PATH"] += ":/usr/bin:/bin"
    seated.platform = "darwin"
    seated.dialogs("pinentry", "osascript", "zenity")
    return seated


def test_command_comes_before_the_terminal_for_codes_alone(all_ways: Machine) -> None:
    assert all_ways.ask("code", "types 222222", command=COMMAND).driver == "command"
    assert all_ways.type("reason", "because\n", command=COMMAND).driver == "tty"


def test_terminal_comes_before_dialogs_and_they_come_in_order(all_ways: Machine) -> None:
    all_ways.person("types 222222")
    assert all_ways.type("code", "123456\n").driver == "tty"
    assert all_ways.saw == []
    for name in ("pinentry", "osascript", "zenity"):
        assert all_ways.ask("code", "types 222222", group="its own").driver == name
        (all_ways.home / "bin" / name).unlink()
    assert all_ways.ask("code", "types 222222", group="its own").error == "NoPromptError"


def test_next_driver_is_tried_after_a_dialog_that_cannot_be_shown(machine: Machine) -> None:
    machine.dialogs("zenity")
    machine.program("pinentry", "#!/bin/sh\necho OK\necho ERR 83918950 no terminal\n")
    assert machine.ask("code", "types 222222").driver == "zenity"


def test_cancellation_is_not_passed_to_the_next_driver(machine: Machine) -> None:
    machine.dialogs("pinentry", "zenity")
    assert machine.ask("code", "no", "types 222222").error == "CancelledError"
    assert len(machine.saw) == 1


@pytest.mark.parametrize("name", prompts.NAMES)
def test_named_driver_is_the_only_one(all_ways: Machine, name: str) -> None:
    asks, act = (all_ways.type, "123456\n") if name == "tty" else (all_ways.ask, "types 222222")
    assert asks("code", act, choice=name, command=COMMAND).driver == name
    elsewhere = next(each for each in ("zenity", "pinentry") if each != name)
    (all_ways.home / "bin" / elsewhere).rename(all_ways.home / "bin/away")
    said = all_ways.ask("code", "types 222222", choice=elsewhere, command=COMMAND)
    assert (said.error, said.hints) == ("NoPromptError", [HINT, f"CREDHELPER_PROMPT is '{elsewhere}'"])


def test_none_asks_and_runs_nothing(all_ways: Machine) -> None:
    said = all_ways.ask("code", "types 222222", choice="none", command=COMMAND)
    assert (said.error, said.hints) == ("NoPromptError", [HINT, "CREDHELPER_PROMPT is 'none'"])
    assert all_ways.saw == []


def test_without_terminal_and_display_it_fails_at_once_with_a_hint(machine: Machine) -> None:
    said = machine.start("code").finish()
    why = "no terminal has this process in its foreground, and no dialog is possible"
    assert (said.error, said.sentence, said.hints) == (*NO_PROMPT, [HINT, why])
    assert (said.seconds < 1, said.turns) == (True, [])
    assert is_whole(said)


def ask_here(script: str, choice: str = "command") -> prompts.Answer:
    """Ask for a code in this process."""
    environ = {"PATH": os.environ["PATH"]}
    command = ["sh", "-c", script]
    return prompts.ask(
        Question("code", "t", (), LABEL), command=command, choice=choice, environ=environ, seconds=5
    )


def test_unknown_driver_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        ask_here("echo 123456", "kdialog")
    assert caught.value.sentence == (
        "CREDHELPER_PROMPT must be auto, none, or one of "
        "command, tty, pinentry, osascript, zenity, not 'kdialog'"
    )


@pytest.mark.parametrize("error", [NoPromptError("x"), CancelledError("x")], ids=type)
def test_errors_have_exit_status_5(error: Exception) -> None:
    assert isinstance(error, InteractionError)
    assert error.status == 5


def test_thread_can_prompt() -> None:
    caught: list[BaseException] = []

    def asks() -> None:
        with pytest.raises(CancelledError) as raised:
            ask_here("exit 3")
        caught.append(raised.value)

    thread = threading.Thread(target=asks)
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == ["mfa_command 'sh' ended with exit status 3"]


def test_signal_handlers_are_restored() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
    before = [signal.getsignal(number) for number in numbers]
    answer = ask_here("echo 123456")
    assert (answer.text, answer.driver) == ("123456", "command")
    assert [signal.getsignal(number) for number in numbers] == before
