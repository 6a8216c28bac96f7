"""pinentry, zenity and osascript for tests, by the name under which this is run.

The person in front of them is a directory, FAKE_PERSON. `does` says what they do, one line a dialog (the last
one stays): "types X", "yes", "no", "is away"; a dialog "gives up" at once, or is "broken" and not shown.
`saw` gets what was shown, one JSON object a line.

What the fakes keep of the real programs is what was seen of zenity 3.44 and pinentry 1.2 under Xvfb: how
arguments and lines are parsed and which are refused, how a text becomes what the person sees, the exit
statuses and error numbers. Of osascript: getopt, and the grammar of one dialog. Each imports what it needs,
because dialogs are to appear at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NoReturn

LINE_TOO_LONG = 67109139
UNKNOWN_COMMAND = 536871187
CANCELLED = 83886179
NOT_CONFIRMED = 83886194
TIMEOUT = 83886142
NO_TERMINAL = 83918950  # from a pinentry that is made for terminals

ASSUAN_TEXTS = {"SETTITLE": "title", "SETDESC": "text", "SETPROMPT": "prompt", "SETOK": "ok"}
ASSUAN_TEXTS["SETCANCEL"] = "cancel"

GENERAL = ["title=", "timeout=", "text=", "ok-label=", "cancel-label="]
ZENITY_OPTIONS = {
    "entry": [*GENERAL, "hide-text", "entry-text="],
    "question": [*GENERAL, "no-markup", "default-cancel"],
    "password": ["title=", "timeout=", "username"],
}
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def show(**saw: object) -> str:
    """What the person does who sees this."""
    person = os.environ["FAKE_PERSON"]
    with open(f"{person}/does") as file:
        acts = file.read().splitlines()
    with open(f"{person}/saw", "a+") as file:
        file.seek(0)
        act = acts[min(len(file.readlines()), len(acts) - 1)]
        if act != "broken":
            file.write(json.dumps({**saw, "pid": os.getpid()}) + "\n")
    return act


def end(status: int, complaint: str = "") -> NoReturn:
    if complaint:
        sys.stderr.write(complaint + "\n")
    sys.exit(status)


def pinentry(_arguments: list[str]) -> None:
    from urllib.parse import unquote

    shown: dict[str, object] = {}
    seconds = 3600.0
    say("OK Pleased to meet you, process 1")
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if len(line.encode()) > 1001:
            say(f"ERR {LINE_TOO_LONG} Line too long <User defined source 1>")
        elif word in ASSUAN_TEXTS:
            shown[ASSUAN_TEXTS[word]] = unquote(rest)
            say("# noted", "OK")
        elif word == "SETTIMEOUT":
            seconds = float(rest)
            say("OK")
        elif word in ("GETPIN", "CONFIRM"):
            say("S BUTTON_INFO none", *pinentry_dialog(shown, seconds, confirm=word == "CONFIRM"))
        else:
            say(f"ERR {UNKNOWN_COMMAND} Unknown IPC command <User defined source 1>")


def say(*lines: str) -> None:
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()


def pinentry_dialog(shown: dict[str, object], seconds: float, *, confirm: bool) -> list[str]:
    from urllib.parse import quote

    act = show(**shown, hidden=not confirm, confirm=confirm, default="no", seconds=seconds)
    if act in ("is away", "gives up"):
        time.sleep(seconds if act == "is away" else 0)
        return [f"ERR {TIMEOUT} Timeout <Pinentry>"]
    if act == "broken":
        failure = f"{NO_TERMINAL} Inappropriate ioctl for device <Pinentry>"
        return [f"S ERROR curses.isatty {NO_TERMINAL} ", f"ERR {failure}"]
    if act == "no":
        return [f"ERR {NOT_CONFIRMED if confirm else CANCELLED} Operation cancelled <Pinentry>"]
    typed = "" if confirm else act.removeprefix("types ")
    parts = [typed[:3], typed[3:]]  # data may come in several lines
    return [*("D " + quote(part, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~") for part in parts if part), "OK"]


def zenity(arguments: list[str]) -> NoReturn:
    """The command line of version 3.44."""
    import getopt

    modes = [mode for mode in ZENITY_OPTIONS if f"--{mode}" in arguments]
    if len(modes) != 1:
        end(255, "You must specify a dialog type. See 'zenity --help' for details")
    try:
        options, operands = getopt.gnu_getopt(arguments, "", [*ZENITY_OPTIONS, *ZENITY_OPTIONS[modes[0]]])
    except getopt.GetoptError as error:
        end(255, f"This option is not available. Please see --help for all possible usages. {error}")
    given = {name[2:]: value for name, value in options}
    seconds = float(given.get("timeout", 3600))
    act = show(
        title=given.get("title"),
        text=zenity_text(given),
        hidden="hide-text" in given,
        confirm=modes[0] == "question",
        default="no" if "default-cancel" in given else "yes",
        entries=operands,
        seconds=seconds,
    )
    if act == "broken":
        end(1, "(zenity:1): Gtk-WARNING **: 07:41:53.971: cannot open display: :99")
    if act in ("is away", "gives up"):
        time.sleep(seconds if act == "is away" else 0)
        end(zenity_status("TIMEOUT", 5))
    if act == "no":
        end(zenity_status("ESC", 1), "Gtk-Message: GtkDialog mapped without a transient parent.")
    if modes[0] != "question":
        sys.stdout.write(act.removeprefix("types ") + "\n")
    end(zenity_status("OK", 0))


def zenity_text(given: dict[str, str]) -> str:
    """The text as GTK renders it: unescaped, and without markup or mnemonics."""
    import re

    text = given.get("text", "")
    if "no-markup" in given:
        return text
    text = re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text)
    if "question" in given:
        import xml.etree.ElementTree as ET

        return "".join(ET.fromstring(f"<markup>{text}</markup>").itertext())
    return re.sub("_(.)", r"\1", text)


def zenity_status(name: str, usual: int) -> int:
    """Variables may change the exit statuses."""
    return int(os.environ.get(f"ZENITY_{name}") or os.environ.get(f"DIALOG_{name}") or usual)


def osascript(arguments: list[str]) -> NoReturn:
    """The script that comes with -e, and what follows as its arguments."""
    import getopt
    import re

    options, operands = getopt.getopt(arguments, "e:il:s:")
    script = "\n".join(value for name, value in options if name == "-e")
    items = re.findall(r"(?m)set (\w+) to \(?item (\d) of argv\)?(?: as integer)?$", script)
    variables = {name: operands[int(number) - 1] for name, number in items}
    dialog = re.search(
        r"(?m)display dialog (?P<text>\w+) with title (?P<title>\w+)(?P<entry> default answer \"\")?"
        r" buttons \{\"\w+\", \"\w+\"\} default button \"(?P<default>\w+)\" cancel button \"\w+\""
        r"( with icon caution)? giving up after (?P<seconds>\w+)(?P<hidden> with hidden answer)?$",
        script,
    )
    if not script.startswith("on run argv\n") or dialog is None:
        end(1, "0:10: syntax error: A identifier can't go after this identifier. (-2740)")
    seconds = float(variables[dialog["seconds"]])
    act = show(
        title=variables[dialog["title"]],
        text=variables[dialog["text"]],
        hidden=dialog["hidden"] is not None,
        confirm=dialog["entry"] is None,
        default=dialog["default"].lower(),
        script=script,
        seconds=seconds,
    )
    if act == "broken":
        end(1, "195:302: execution error: No user interaction allowed. (-1713)")
    if act in ("is away", "gives up"):
        time.sleep(seconds if act == "is away" else 0)
        end(1, "195:302: execution error: An error of type -1712 has occurred. (-1712)")
    if act == "no":
        end(1, "195:302: execution error: User canceled. (-128)")
    sys.stdout.write(("yes" if 'return "yes"' in script else act.removeprefix("types ")) + "\n")
    end(0)


if __name__ == "__main__":
    programs = {"pinentry": pinentry, "pinentry-mac": pinentry, "zenity": zenity, "osascript": osascript}
    programs[os.path.basename(sys.argv[0])](sys.argv[1:])
