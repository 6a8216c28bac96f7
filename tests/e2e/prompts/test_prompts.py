"""Asking the person: every way of asking keeps the same promises, in the order that is promised.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import prompts
from credhelper.errors import CancelledError, ConfigError, InteractionError, NoPromptError
from credhelper.prompts import Question
from credhelper.prompts.console import Console

from sandbox import is_alive, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parents[2] / "support"
TITLE = "profile 'developer'"
LABEL = "MFA code of 'arn:aws:iam::999988887777:mfa/me'"
LINES = ["account payments-prod (111122223333)", "asked by terraform; 3 callers wait"]
HINT = "run 'credhelper login developer'"
HOSTILE = "a\x1b[2J\x07b\nforged\rline\x9bc\u2028d\u202ee"
SHOWN_HOSTILE = r"a\x1b[2J\x07b\x0aforged\x0dline\x9bc\u2028d\u202ee"
TRICKY = r"--help <b>x</b> &amp; 100%25 _a __b \n \x41 $(id) {'q'} item 1 of argv"
"""What means something to one of the programs that show it."""

SHELLS = """
import fcntl, json, os, select, signal, socket, sys, termios, time, traceback, types
from contextlib import contextmanager

from credhelper import prompts
from credhelper.errors import CancelledError, NoPromptError
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
    if not task["deaf"]:
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
    try:
        answer = prompts.ask(
            prompts.Question(**task["question"]), command=task["command"], choice=task["choice"],
            environ=task["environ"], seconds=task["seconds"], turn=turn,
        )
        said = {"text": answer.text, "driver": answer.driver, "repr": repr(answer)}
    except NoPromptError as error:
        said = {"error": "nobody", "sentence": error.sentence, "hints": error.hints}
    except CancelledError as error:
        said = {"error": "cancelled", "sentence": error.sentence, "hints": error.hints}
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
    for number, handler in (
        (signal.SIGCHLD, signal.SIG_DFL), (signal.SIGTTOU, signal.SIG_IGN), (signal.SIGINT, signal.SIG_IGN),
        (signal.SIGUSR1, to_the_front),
    ):
        signal.signal(number, handler)
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


@dataclass
class UserInput:
    """How asking ended: what the process said, and what the person saw."""

    text: str | None = None
    driver: str | None = None
    error: str | None = None
    sentence: str = ""
    hints: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    stdin: str = ""
    seconds: float = 0.0
    repr: str = ""
    stderr: str = ""
    status: int = 0
    saw: list[str] = field(default_factory=list)

    @property
    def all(self) -> str:
        """All text that may be shown or logged."""
        return "".join([self.sentence, *self.hints, self.stderr, self.repr, *self.saw])


class Pty:
    """A terminal: what is written to it is kept, and a person types on it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self._shown = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.before = termios.tcgetattr(self.slave)

    def _read(self) -> None:
        with suppress(OSError):
            while block := os.read(self.master, 4096):
                self._shown += block

    @property
    def text(self) -> str:
        """What was shown so far."""
        return self._shown.decode("latin-1")

    @property
    def modes(self) -> list[Any]:
        """How it is set."""
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
        """Type."""
        os.write(self.master, keys.encode("latin-1"))

    def close(self) -> None:
        """Hang up."""
        os.close(self.slave)
        self._thread.join(5)
        os.close(self.master)


class Shell:
    """The process that starts those who ask."""

    def __init__(self, shells: socket.socket, terminal: Pty | None) -> None:
        self._control, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), *([] if terminal is None else [terminal.slave])]
        socket.send_fds(shells, [b"1"], descriptors)
        theirs.close()
        self.pid = self.number()

    def number(self) -> int:
        """The next number that it says, read byte by byte: more must not hide in a buffer."""
        said = b""
        while not said.endswith(b"\n"):
            byte = self._control.recv(1)
            assert byte, "the shell has gone"
            said += byte
        return int(said)

    def start(self, task: dict[str, Any]) -> Asking:
        """A process that asks; its stdin is a pipe with a line in it."""
        ours, theirs = zip(*(os.pipe()[:: -1 if number == 0 else 1] for number in range(3)), strict=True)
        socket.send_fds(self._control, [json.dumps(task).encode()], theirs)
        for each in theirs:
            os.close(each)
        os.write(ours[0], b"not for us\n")
        os.close(ours[0])
        return Asking(self, self.number(), ours[1], ours[2])

    @property
    def has_news(self) -> bool:
        """Whether the process that asks has ended, or was stopped."""
        return bool(select.select([self._control], [], [], 0)[0])

    def close(self) -> None:
        """End it, and with it its session."""
        self._control.close()
        until(lambda: not is_alive(self.pid), 5)


@dataclass
class Asking:
    """A question under way."""

    shell: Shell
    pid: int
    stdout: int
    stderr: int

    def finish(self) -> UserInput:
        """What came of it."""
        try:
            until(lambda: self.shell.has_news)
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        with open(self.stdout, "rb") as stdout, open(self.stderr, "rb") as stderr:
            printed, complained = stdout.read(), stderr.read()
        said = UserInput(**json.loads(printed)) if printed else UserInput()
        said.stderr = complained.decode()
        said.status = self.shell.number()
        return said


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

    def dialogs(self, *names: str) -> None:
        """A display, and programs that show dialogs on it."""
        for name in names:
            self.program(name, f"#!{sys.executable} -IS\n{(TESTS / 'fake_dialogs.py').read_text()}")
        self.environ["DISPLAY"] = ":0"

    def person(self, *acts: str) -> None:
        """What the person in front of the dialogs does."""
        (self.home / "does").write_text("".join(act + "\n" for act in acts))
        (self.home / "saw").write_text("")

    @property
    def saw(self) -> list[dict[str, Any]]:
        """The dialogs that were shown."""
        path = self.home / "saw"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def start(self, kind: str = "code", **how: Any) -> Asking:
        """Begin to ask. `how` is what ask() takes, texts of the question, and how the process is started."""
        texts = {name: how.pop(name) for name in ("title", "lines", "label", "pattern") if name in how}
        asked = {"title": TITLE, "lines": LINES, "label": LABEL, "hint": HINT, **texts}
        self.shell = self.shell or Shell(self.shells, self.terminal)
        return self.shell.start(
            {
                "question": {"kind": kind, **asked},
                "command": None,
                "choice": "auto",
                "seconds": 20,
                "environ": self.environ,
                "home": str(self.home),
                "group": "the shell's",
                "deaf": False,
                "platform": self.platform,
                "console": self.console,
                **how,
            }
        )

    def ask(self, kind: str = "code", *acts: str, **how: Any) -> UserInput:
        """Ask a person who does these things, one a dialog; `saw` has the text of each."""
        self.person(*acts)
        said = self.start(kind, **how).finish()
        said.saw = [each["text"] for each in self.saw]
        return said

    def type(self, kind: str = "code", *typed: str, **how: Any) -> UserInput:
        """Ask a person who types these things, each once the question is shown; `saw` is the terminal."""
        terminal, before = self.terminal, len(self.terminal.text)
        asking = self.start(kind, **how)
        ending = Question(kind, "", (), how.get("label", LABEL)).label + (  # type: ignore[arg-type]
            " [y/N] " if kind == "confirm" else ": "
        )
        for times, keys in enumerate(typed, 1):
            until(lambda times=times: asking.shell.has_news or terminal.text[before:].count(ending) >= times)
            if asking.shell.has_news:
                break
            terminal.type(keys)
        said = asking.finish()
        said.saw = [terminal.text[before:]]
        return said

    def close(self) -> None:
        """End the shell."""
        if self.shell is not None:
            self.shell.close()
            self.shell = None


@pytest.fixture(scope="module")
def shells() -> Iterator[socket.socket]:
    """Where a shell is to be had without starting an interpreter."""
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


def is_whole(said: UserInput) -> bool:
    """Whether the streams are untouched and the exit status is 0."""
    return (said.status, said.stderr, said.stdin) == (0, "", "not for us\n")


class Asks:
    """What every driver promises.

    `asks(kind, *acts, seconds=…, **texts)` asks a person who does these things in turn: "types X", "yes",
    "no", "is away".
    """

    name: str

    def test_code_is_returned_and_the_streams_stay_untouched(self, asks) -> None:
        said = asks("code", "types 123456")
        assert (said.text, said.driver) == ("123456", self.name), said
        assert is_whole(said)
        assert said.turns == ["taken", "over"]

    def test_cancelling_ends_the_question_at_once(self, asks) -> None:
        said = asks("code", "no")
        assert (said.error, said.text) == ("cancelled", None), said
        assert "within" not in said.sentence
        assert is_whole(said)
        assert said.turns == ["taken", "over"]

    def test_no_answer_ends_the_question_in_time(self, asks) -> None:
        said = asks("code", "is away", seconds=0.3)
        assert (said.error, said.text) == ("cancelled", None), said
        assert "within 0 s" in said.sentence
        assert 0.3 <= said.seconds < 5

    def test_code_is_neither_shown_nor_quoted(self, asks) -> None:
        assert "775533" not in asks("code", "types 775533").all
        said = asks("code", "types 88664", "types 88664")
        assert said.error == "cancelled", said
        assert "8866" not in said.all


class Shows(Asks):
    """What those promise besides who show the question themselves."""

    def test_title_lines_and_label_are_shown(self, asks) -> None:
        seen = asks("code", "types 123456").saw[0]
        for text in ("credhelper: profile 'developer'", *LINES, LABEL):
            assert text in seen

    def test_confirmation_is_yes_or_cancelled(self, asks) -> None:
        said = asks("confirm", "yes")
        assert (said.text, said.driver) == ("yes", self.name), said
        said = asks("confirm", "no")
        assert (said.error, said.text) == ("cancelled", None)

    def test_reason_is_returned_as_typed(self, asks) -> None:
        reason = r"rotate 50% of %41 keys_now, it's \n <b> $(id)"
        assert asks("reason", f"types {reason}").text == reason

    def test_secret_is_neither_shown_nor_quoted(self, asks) -> None:
        said = asks("secret", "types wJalr/XUtn+FEMI%K7")
        assert said.text == "wJalr/XUtn+FEMI%K7"
        assert "wJalr" not in said.all

    def test_text_like_an_option_markup_or_script_is_shown_as_it_is(self, asks) -> None:
        for kind, act in (("code", "types 123456"), ("confirm", "yes")):
            said = asks(kind, act, title=TRICKY, lines=[TRICKY, TRICKY], label=TRICKY)
            assert said.text in ("123456", "yes"), said
            assert said.saw[-1].count(TRICKY) == 4

    def test_control_characters_are_shown_as_escapes(self, asks) -> None:
        said = asks("code", "types 123456", title=HOSTILE, lines=[HOSTILE], label=HOSTILE)
        assert said.text == "123456"
        lines = said.saw[-1].replace("\r\n", "\n").split("\n")
        assert all(line.isprintable() and line.isascii() for line in lines if line)
        assert sum(SHOWN_HOSTILE in line for line in lines) == 3

    def test_long_texts_leave_each_other_visible(self, asks) -> None:
        said = asks("confirm", "yes", title="t" * 5000, lines=["%" * 5000, "l" * 5000], label="q" * 5000)
        assert said.text == "yes", said
        for text in ("tttt", "%%%%", "llll", "qqqq"):
            assert text in said.saw[-1]

    def test_wrong_code_is_asked_for_once_more_and_spaces_are_ignored(self, asks) -> None:
        said = asks("code", "types 12345", "types 123 456")
        assert said.text == "123456"
        assert "that was not 6 digits" in said.saw[-1]

    def test_second_wrong_code_ends_the_question(self, asks) -> None:
        said = asks("code", "types 12345", "types 1234567", "types 123456")
        assert (said.error, said.text) == ("cancelled", None)
        assert said.sentence == f"the answer was not 6 digits: {TITLE}"

    def test_reason_has_to_match_the_pattern_and_cannot_be_empty(self, asks) -> None:
        assert asks("reason", "types ", "types because").text == "because"
        assert asks("secret", "types ", "types  ").error == "cancelled"
        said = asks("reason", "types ", "types see TICKET-4711", pattern="TICKET-[0-9]+")
        assert said.text == "see TICKET-4711"
        said = asks("reason", "types just so", "types just so", pattern="TICKET-[0-9]+")
        assert said.sentence == f"the answer was not a match of 'TICKET-[0-9]+': {TITLE}"


class Typed(Shows):
    """A person who types."""

    name = "tty"
    enter = "\n"

    @pytest.fixture
    def asks(self, seated: Machine) -> Callable[..., UserInput]:
        """At the terminal."""
        keys = {"no": "\x03", "is away": "", "yes": "y\n"}

        def asks(kind: str, *acts: str, **how: Any) -> UserInput:
            typed = [keys.get(act, act.removeprefix("types ") + "\n") for act in acts]
            return seated.type(kind, *(each.replace("\n", self.enter) for each in typed), **how)

        return asks

    def test_anything_but_yes_cancels_a_confirmation(self, asks) -> None:
        for typed in ("types ", "types yep", "types n"):
            assert asks("confirm", typed, "yes").error == "cancelled"
        assert asks("confirm", "types YES").text == "yes"

    def test_keys_typed_before_the_question_are_no_answer(self, seated: Machine) -> None:
        seated.terminal.type("y" + self.enter)
        assert seated.type("confirm", seconds=0.5).error == "cancelled"


class TestTerminal(Typed):
    """The controlling terminal."""

    def test_terminal_modes_are_restored(self, seated: Machine) -> None:
        terminal = seated.terminal
        for kind, typed in (("code", "123456\n"), ("secret", "x\n"), ("reason", "x\n"), ("code", "\x03")):
            seated.type(kind, typed)
            assert terminal.modes == terminal.before
        seated.type("code", "12", seconds=0.5)
        assert terminal.modes == terminal.before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signal_restores_the_echo_and_ends_the_process(self, seated, number) -> None:
        terminal = seated.terminal
        asking = seated.start("secret")
        until(lambda: LABEL + ": " in terminal.text)
        assert not terminal.modes[3] & termios.ECHO
        os.kill(asking.pid, number)
        assert asking.finish().status == -number
        assert terminal.modes == terminal.before

    def test_ctrl_c_cancels_although_it_was_ignored(self, seated: Machine) -> None:
        said = seated.type("code", "\x03", deaf=True)
        assert (said.error, said.sentence) == ("cancelled", f"cancelled: {TITLE}")

    def test_ctrl_d_cancels(self, seated: Machine) -> None:
        assert seated.type("code", "\x04").error == "cancelled"
        assert seated.type("reason", "half\x04\x04").error == "cancelled"

    def test_ctrl_z_and_ctrl_backslash_do_nothing(self, seated: Machine) -> None:
        said = seated.type("code", "\x1a\x1c123456\n", group="in front")
        assert (said.text, said.status) == ("123456", 0)

    def test_half_an_answer_is_not_left_for_the_shell(self, seated: Machine) -> None:
        assert seated.type("code", "12345", seconds=1).error == "cancelled"
        assert seated.terminal.waiting == 0

    def test_raw_terminal_reads_a_line_and_stays_raw(self, seated: Machine) -> None:
        terminal = seated.terminal
        tty.setraw(terminal.slave)
        raw = terminal.modes
        said = seated.type("code", "1239\x7f456\r")
        assert said.text == "123456"
        assert terminal.modes == raw

    def test_halted_terminal_ends_the_question_in_time(self, seated: Machine) -> None:
        terminal = seated.terminal
        termios.tcflow(terminal.slave, termios.TCOOFF)
        said = seated.type("code", seconds=0.6)
        termios.tcflow(terminal.slave, termios.TCOON)
        assert (said.error, said.seconds < 2) == ("cancelled", True)

    def test_background_process_does_not_prompt_and_is_not_stopped(self, seated: Machine) -> None:
        said = seated.start("code", group="its own").finish()
        assert (said.error, said.status) == ("nobody", 0)
        assert said.seconds < 1
        assert LABEL not in seated.terminal.text

    def test_process_moved_to_the_background_ends_without_an_answer(self, seated: Machine) -> None:
        terminal = seated.terminal
        asking = seated.start("code", group="in front")
        until(lambda: LABEL + ": " in terminal.text)
        os.kill(asking.shell.pid, signal.SIGUSR1)
        until(lambda: os.tcgetpgrp(terminal.master) == asking.shell.pid)
        terminal.type("123456\n")
        said = asking.finish()
        assert (said.error, said.status) == ("nobody", 0)
        assert terminal.modes == terminal.before

    def test_hangup_ends_the_process(self, seated: Machine) -> None:
        terminal = seated.terminal
        asking = seated.start("code", group="in front")
        until(lambda: LABEL + ": " in terminal.text)
        os.kill(asking.shell.pid, signal.SIGKILL)
        until(lambda: not is_alive(asking.pid))


class TestConsole(Typed):
    """The console of Windows, through what keeps the shape of msvcrt on a terminal that reads key by key."""

    enter = "\r"

    @pytest.fixture
    def seated(self, seated: Machine) -> Machine:
        """With the devices of a console, and a terminal that leaves everything to us."""
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
            assert (said.error, said.sentence) == ("cancelled", f"cancelled: {TITLE}")

    def test_console_without_devices_is_not_usable(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert not Console().is_usable()
        (tmp_path / "CONIN$").touch()
        assert not Console().is_usable()
        (tmp_path / "CONOUT$").touch()
        assert Console().is_usable()


class Dialogs(Shows):
    """A person in front of a screen."""

    platform = sys.platform

    @pytest.fixture
    def asks(self, machine: Machine) -> Callable[..., UserInput]:
        """Without a terminal."""
        machine.platform = self.platform
        machine.dialogs(self.name)
        return machine.ask

    @staticmethod
    def only(machine: Machine) -> dict[str, Any]:
        """The one dialog that was shown."""
        (saw,) = machine.saw
        return saw

    def test_window_has_a_title_hides_codes_and_defaults_to_no(self, machine: Machine, asks) -> None:
        for kind, hidden in (("code", True), ("secret", True)):
            asks(kind, "types 123456")
            assert (self.only(machine)["hidden"], self.only(machine)["confirm"]) == (hidden, False)
        assert self.only(machine)["title"] == "credhelper: profile 'developer'"
        asks("confirm", "yes")
        assert (self.only(machine)["confirm"], self.only(machine)["default"]) == (True, "no")

    def test_dialog_ends_with_the_question_and_the_process(self, machine: Machine, asks) -> None:
        asks("code", "is away", seconds=0.4)
        assert not is_alive(self.only(machine)["pid"])
        machine.person("is away")
        asking = machine.start("code")
        until(lambda: machine.saw)
        os.kill(asking.pid, signal.SIGTERM)
        assert asking.finish().status == -signal.SIGTERM
        assert not is_alive(self.only(machine)["pid"])

    def test_ctrl_c_closes_the_dialog(self, machine: Machine, asks) -> None:
        machine.person("is away")
        asking = machine.start("code")
        until(lambda: machine.saw)
        os.kill(asking.pid, signal.SIGINT)
        said = asking.finish()
        assert (said.error, said.sentence) == ("cancelled", f"cancelled: {TITLE}")
        assert not is_alive(self.only(machine)["pid"])

    def test_answer_with_a_control_character_is_refused(self, machine: Machine, asks) -> None:
        said = asks("reason", "types a\x1b[2Jb", "types because")
        assert said.text == "because"

    def test_dialog_that_cannot_be_shown_is_not_a_cancellation(self, machine: Machine, asks) -> None:
        said = asks("code", "broken")
        assert (said.error, said.sentence) == ("nobody", f"{TITLE}, and no prompt is possible")

    def test_program_that_does_not_start_is_not_a_cancellation(self, machine: Machine, asks) -> None:
        machine.program(self.name, "#!/nowhere/at/all\n")
        assert asks("code", "types 123456").error == "nobody"
        machine.program(self.name, "#!/bin/sh\nexit 3\n")
        assert asks("code", "types 123456").error == "nobody"

    def test_dialog_gets_the_time_in_whole_seconds(self, machine: Machine, asks) -> None:
        assert asks("code", "types 123456", seconds=8.4).text == "123456"
        assert self.only(machine)["seconds"] == 9
        assert asks("code", "gives up").sentence == f"no answer within 20 s: {TITLE}"
        assert self.only(machine)["seconds"] == 20

    def test_no_display_is_not_tried(self, machine: Machine, asks) -> None:
        del machine.environ["DISPLAY"]
        machine.environ["SSH_CONNECTION"] = "192.0.2.1 1 192.0.2.2 22"
        said = asks("code", "types 123456")
        assert (said.error, machine.saw) == ("nobody", [])
        assert said.seconds < 1

    def test_program_in_the_working_directory_is_not_started(self, machine: Machine, asks) -> None:
        (machine.home / self.name).symlink_to(machine.home / "bin" / self.name)
        for path in ("", ".", "bin:", "./bin"):
            machine.environ["PATH"] = path
            assert asks("code", "types 123456").error == "nobody"
        machine.environ["PATH"] = f".:{machine.home / 'bin'}"
        assert asks("code", "types 123456").text == "123456"


class TestPinentry(Dialogs):
    """GnuPG's."""

    name = "pinentry"

    def test_wayland_display_is_enough(self, machine: Machine, asks) -> None:
        machine.environ["WAYLAND_DISPLAY"] = machine.environ.pop("DISPLAY")
        assert asks("code", "types 123456").text == "123456"

    def test_pinentry_mac_comes_first_without_a_display_variable(self, machine: Machine, asks) -> None:
        machine.platform = "darwin"
        machine.dialogs("pinentry-mac")
        del machine.environ["DISPLAY"]
        machine.program("pinentry", "#!/bin/sh\nexit 3\n")
        assert asks("code", "types 123456").driver == "pinentry"


class TestZenity(Dialogs):
    """The one of GTK."""

    name = "zenity"

    def test_variables_for_exit_statuses_have_no_effect(self, machine: Machine, asks) -> None:
        machine.environ |= {"ZENITY_ESC": "0", "ZENITY_CANCEL": "0", "DIALOG_ESC": "0", "ZENITY_TIMEOUT": "0"}
        assert asks("confirm", "no").error == "cancelled"
        assert asks("confirm", "is away", seconds=0.4).error == "cancelled"


class TestOsascript(Dialogs):
    """The one of macOS."""

    name = "osascript"
    platform = "darwin"

    def test_osascript_is_not_used_elsewhere(self, machine: Machine, asks) -> None:
        machine.platform = "linux"
        assert asks("code", "types 123456").error == "nobody"

    def test_script_does_not_depend_on_the_texts(self, machine: Machine, asks) -> None:
        asks("code", "types 123456")
        script = self.only(machine)["script"]
        asks("code", "types 123456", title=TRICKY, lines=[TRICKY], label='" & (do shell script "id") & "')
        assert self.only(machine)["script"] == script
        assert "developer" not in script


class TestCommand(Asks):
    """mfa_command."""

    name = "command"

    @pytest.fixture
    def asks(self, machine: Machine) -> Callable[..., UserInput]:
        """A program that does what a person would."""

        def asks(kind: str, *acts: str, **how: Any) -> UserInput:
            act = acts[0]
            does = {"no": "exit 1", "is away": "sleep 60"}.get(act, f"echo {act.removeprefix('types ')}")
            return self.run(machine, does, kind=kind, **how)

        return asks

    @staticmethod
    def run(machine: Machine, script: str, *arguments: str, kind: str = "code", **how: Any) -> UserInput:
        """A program of that script, with the system's programs on its PATH, asked for a code."""
        machine.environ["PATH"] = f"{machine.home / 'bin'}:/usr/bin:/bin"
        machine.program("otp", f"#!/bin/sh\n{script}\n")
        return machine.start(kind, command=["otp", *arguments], **{"choice": "command", **how}).finish()

    def test_code_anywhere_in_the_output_is_used(self, machine: Machine) -> None:
        for script in (
            "echo 'AWS:me   123456'",
            "printf 123456",
            "echo 123456; echo 123456; seq 12345678901 1",
        ):
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
        assert (said.error, said.sentence) == ("cancelled", f"mfa_command 'otp' {sentence}"), said
        assert said.hints == ["run it by hand to see its output"]
        assert "4455" not in said.all
        assert (machine.home / "runs").read_text() == "run\n"

    def test_arguments_reach_the_program_unchanged(self, machine: Machine) -> None:
        arguments = ["$(id)", "a b", "; exit", "*", "-x"]
        said = self.run(machine, "printf '%s\\n' \"$@\" > arguments; echo 123456", *arguments)
        assert said.text == "123456"
        assert (machine.home / "arguments").read_text().splitlines() == arguments

    def test_command_is_used_for_codes_alone(self, machine: Machine) -> None:
        for kind in ("confirm", "reason", "secret"):
            assert self.run(machine, "echo 123456", kind=kind).error == "nobody"

    def test_stdin_and_stderr_are_the_terminal(self, seated: Machine) -> None:
        seated.environ["PATH"] = f"{seated.home / 'bin'}:/usr/bin:/bin"
        seated.program("otp", "#!/bin/sh\necho touch the token >&2\nread pin\necho 12345$pin\n")
        asking = seated.start("code", command=["otp"])
        terminal = seated.terminal
        until(lambda: "touch the token" in terminal.text)
        terminal.type("6\n")
        said = asking.finish()
        assert (said.text, said.driver) == ("123456", "command")
        assert is_whole(said)
        assert LABEL not in terminal.text

    def test_unread_keys_stay_for_the_next_reader(self, seated: Machine) -> None:
        terminal = seated.terminal
        terminal.type("ls\n")
        assert self.run(seated, "echo 123456").text == "123456"
        assert terminal.waiting == len("ls\n")

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
        terminal = seated.terminal
        seated.environ["PATH"] = f"{seated.home / 'bin'}:/usr/bin:/bin"
        seated.program("otp", "#!/bin/sh\nstty -echo\nsleep 60 &\necho $! > other; echo $$ > pid\nsleep 60\n")
        asking = seated.start("code", command=["otp"], seconds=1 if end == "deadline" else 20)
        pids = [int(until(lambda name=name: read(seated.home / name))) for name in ("pid", "other")]
        if end == "Ctrl-C":
            terminal.type("\x03")
        if end == "SIGTERM":
            os.kill(asking.pid, signal.SIGTERM)
        said = asking.finish()
        assert said.error == (None if end == "SIGTERM" else "cancelled")
        assert terminal.modes == terminal.before
        until(lambda: not any(is_alive(pid) for pid in pids), 5)

    def test_program_is_found_on_the_path_or_by_absolute_path(self, machine: Machine) -> None:
        for name in ("none", "./bin/otp", "bin/otp"):
            machine.program("otp", "#!/bin/sh\necho 123456\n")
            assert machine.start("code", command=[name], choice="command").finish().error == "nobody"
        path = str(machine.home / "bin/otp")
        assert machine.start("code", command=[path], choice="command").finish().text == "123456"

    def test_program_that_cannot_be_started_is_an_error(self, machine: Machine) -> None:
        machine.program("otp", "#!/nowhere/at/all\n")
        said = machine.start("code", command=["otp"]).finish()
        assert said.sentence == "mfa_command 'otp' cannot be started: no such file or directory"


def read(path: Path) -> str:
    """A file's text, empty while there is none."""
    return path.read_text() if path.exists() else ""


class TestOrder:
    """Who is asked first, and whom CREDHELPER_PROMPT chooses."""

    COMMAND = ("sh", "-c", "echo 111111")

    @pytest.fixture
    def all_ways(self, seated: Machine) -> Machine:
        """A person at a terminal with a display, on a Mac."""
        seated.environ["PATH"] += ":/usr/bin:/bin"
        seated.platform = "darwin"
        seated.dialogs("pinentry", "osascript", "zenity")
        return seated

    def test_command_comes_first_for_codes(self, all_ways: Machine) -> None:
        assert all_ways.ask("code", "types 222222", command=self.COMMAND).driver == "command"
        assert all_ways.type("reason", "because\n", command=self.COMMAND).driver == "tty"

    def test_terminal_comes_before_dialogs(self, all_ways: Machine) -> None:
        all_ways.person("types 222222")
        assert all_ways.type("code", "123456\n").driver == "tty"
        assert all_ways.saw == []

    def test_dialogs_come_in_order(self, all_ways: Machine) -> None:
        for name in ("pinentry", "osascript", "zenity"):
            said = all_ways.ask("code", "types 222222", group="its own")
            assert said.driver == name
            (all_ways.home / "bin" / name).unlink()
        said = all_ways.ask("code", "types 222222", group="its own")
        assert said.error == "nobody"

    def test_next_driver_is_tried_after_a_dialog_that_cannot_be_shown(self, machine: Machine) -> None:
        machine.dialogs("zenity")
        machine.program("pinentry", "#!/bin/sh\necho OK\necho ERR 83918950 no terminal\n")
        assert machine.ask("code", "types 222222").driver == "zenity"

    def test_cancellation_is_not_passed_to_the_next_driver(self, machine: Machine) -> None:
        machine.dialogs("pinentry", "zenity")
        assert machine.ask("code", "no", "types 222222").error == "cancelled"
        assert len(machine.saw) == 1

    @pytest.mark.parametrize("name", prompts.NAMES)
    def test_named_driver_is_the_only_one(self, all_ways: Machine, name: str) -> None:
        if name == "tty":
            assert all_ways.type("code", "123456\n", choice=name, command=self.COMMAND).driver == name
        else:
            assert all_ways.ask("code", "types 222222", choice=name, command=self.COMMAND).driver == name
        elsewhere = next(each for each in ("zenity", "pinentry") if each != name)
        (all_ways.home / "bin" / elsewhere).rename(all_ways.home / "bin/away")
        said = all_ways.ask("code", "types 222222", choice=elsewhere, command=self.COMMAND)
        assert (said.error, said.hints) == ("nobody", [HINT, f"CREDHELPER_PROMPT is '{elsewhere}'"])

    def test_none_asks_and_runs_nothing(self, all_ways: Machine) -> None:
        said = all_ways.ask("code", "types 222222", choice="none", command=self.COMMAND)
        assert (said.error, said.hints) == ("nobody", [HINT, "CREDHELPER_PROMPT is 'none'"])
        assert all_ways.saw == []

    def test_unknown_driver_is_a_config_error(self) -> None:
        asked = Question("code", "t", (), LABEL)
        with pytest.raises(ConfigError) as caught:
            prompts.ask(asked, command=None, choice="kdialog", environ={}, seconds=1)
        assert caught.value.sentence == (
            "CREDHELPER_PROMPT must be auto, none, or one of "
            "command, tty, pinentry, osascript, zenity, not 'kdialog'"
        )

    def test_without_terminal_and_display_it_fails_at_once_with_a_hint(self, machine: Machine) -> None:
        said = machine.start("code").finish()
        why = "no terminal has this process in its foreground, and no dialog is possible"
        assert (said.error, said.sentence) == ("nobody", f"{TITLE}, and no prompt is possible")
        assert said.hints == [HINT, why]
        assert said.seconds < 1
        assert said.turns == []
        assert is_whole(said)

    def test_errors_have_exit_status_5(self) -> None:
        for error in (NoPromptError("x"), CancelledError("x")):
            assert isinstance(error, InteractionError)
            assert error.status == 5

    def test_thread_can_prompt(self) -> None:
        caught: list[BaseException] = []

        def asks() -> None:
            environ = {"PATH": os.environ["PATH"]}
            command = ["sh", "-c", "exit 3"]
            try:
                asked = Question("code", "t", (), LABEL)
                prompts.ask(asked, command=command, choice="command", environ=environ, seconds=5)
            except BaseException as error:  # noqa: BLE001 - looked at below
                caught.append(error)

        thread = threading.Thread(target=asks)
        thread.start()
        thread.join()
        assert [str(error) for error in caught] == ["mfa_command 'sh' ended with exit status 3"]

    def test_signal_handlers_are_restored(self) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
        before = [signal.getsignal(number) for number in numbers]
        answer = prompts.ask(
            Question("code", "t", (), LABEL),
            command=["sh", "-c", "echo 123456"],
            choice="command",
            environ={"PATH": os.environ["PATH"]},
            seconds=5,
        )
        assert (answer.text, answer.driver) == ("123456", "command")
        assert [signal.getsignal(number) for number in numbers] == before
