"""`make bench`: the time and memory of credhelper, next to bare programs that do the same.

Each row runs two commands alternately, as whole processes, and prints the median of both and of the ratios of
the pairs: a ratio stays valid when the speed of the machine changes. pip installs credhelper from a wheel. A
row above its limit is marked and never fails.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench_home
from bench_home import CannotMeasureError, Command, Home
from sandbox import agents_in

if TYPE_CHECKING:
    from collections.abc import Callable

SESSIONS = 5
"""Sessions in the agent whose memory is measured."""

BARE_BOTO3 = f"""\
import boto3
session = boto3.Session(profile_name="org-admin", region_name="eu-west-1")
session.client("sts").assume_role(RoleArn="{bench_home.ROLE}", RoleSessionName="bench")
"""

BARE_KEYRING = """\
import keyring
assert keyring.get_password("credhelper:KEY", "credhelper")
"""

CALLS = """\
import time
import boto3
sts = boto3.Session(region_name="eu-west-1").client("sts")
sts.get_caller_identity()
begun = time.perf_counter()
for _ in range(COUNT):
    sts.get_caller_identity()
print((time.perf_counter() - begun) / COUNT)
"""


@dataclass(frozen=True)
class Figures:
    """The result of a row: the command and its median, and those of the baseline if there is one."""

    unit: str
    commands: tuple[str, ...]
    measured: float
    baseline: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Row:
    """A measurement and its limit, for the ratio or else the figure.

    `measure` gets the number of pairs; a slow row runs fewer than a hit, by the factor `fewer`.
    """

    name: str
    at_most: float | None
    measure: Callable[[Home, int], Figures]
    fewer: int = 1
    of_others: bool = False


def hit(console: str, *python: str) -> Callable[[Home, int], Figures]:
    """A cache hit through a console script, next to a bare interpreter."""
    return lambda home, pairs: in_turn_with_a_hit(
        home, pairs, home.installed(*console.split(), "developer"), home.python(*python, "-c", "pass")
    )


def other(command: Callable[[Home], Command]) -> Callable[[Home, int], Figures]:
    """Another helper, next to a hit."""
    return lambda home, pairs: in_turn_with_a_hit(home, pairs, command(home), home.get("developer"))


def elhaz(home: Home, pairs: int) -> Figures:
    """Elhaz with its daemon, next to a hit."""
    with home.elhaz() as command:
        return other(lambda _: command)(home, pairs)


def in_turn_with_a_hit(home: Home, pairs: int, measured: Command, baseline: Command) -> Figures:
    """Two commands alternately, while the agent has the session and nothing is minted."""
    with home.sandbox.use_agent():
        home.warm_up(home.get("developer"), measured, baseline)
        return _without_mint(home, lambda: _in_turn(home, pairs, lambda: (measured, baseline)))


def hit_with_many_profiles(home: Home, pairs: int) -> Figures:
    """A hit with a long configuration, next to one with a short one."""
    many, one = (home.get("developer", CREDHELPER_CONFIG=str(home.config(name))) for name in ("many", "one"))
    return in_turn_with_a_hit(home, pairs, many, one)


def _herd(home: Home) -> tuple[float, Figures]:
    """A crowd for a session that is not cached: the seconds and the calls to STS."""
    command, minted = home.get_cold(), home.sts.count()
    with home.sandbox.use_agent():
        taken = _seconds(home, command, home.crowd)
    return taken, Figures("", (f"{home.crowd} x {command}",), home.sts.count() - minted)


def calls_of_a_herd(home: Home, pairs: int) -> Figures:
    """STS calls when all callers start at once without an agent."""
    with home.keyring():
        return _herd(home)[1]


def herd(home: Home, pairs: int) -> Figures:
    """The time of a herd, next to as many bare interpreters and one mint."""
    python, timed = home.python("-c", "pass"), []
    with home.keyring():
        for _ in range(pairs):
            ours, crowd = _herd(home)
            with home.sandbox.use_agent():
                mint = _seconds(home, home.get_cold())
            timed.append((ours, _seconds(home, python, home.crowd) + mint))
    return _figures(timed, *crowd.commands, f"{home.crowd} x {python}, and {home.get_cold()} (once)")


def cold_mint(home: Home, pairs: int) -> Figures:
    """A complete mint, next to the bare STS call."""
    with home.keyring(), home.sandbox.use_agent():
        home.run(home.get_cold())
        return _in_turn(home, pairs, lambda: (home.get_cold(), home.python("-c", BARE_BOTO3)))


def keyring_hit(home: Home, pairs: int) -> Figures:
    """A keyring hit without an agent, next to a script that reads the same item."""
    ours = home.get("developer", CREDHELPER_AGENT="off")
    with home.keyring():
        home.run(Command([*ours.words, "--refresh"], ours.environ))
        key = re.findall('"([0-9a-z]{32})"', (home.sandbox.state / "items.jsonl").read_text())[-1]
        bare = home.python("-c", BARE_KEYRING.replace("KEY", key))
        return _in_turn(home, pairs, lambda: (ours, bare))


def memory_of_the_agent(home: Home, pairs: int) -> Figures:
    """The agent's resident memory with some sessions, next to a waiting interpreter."""
    bare = home.python("-c", "import sys; sys.stdin.read()")
    with home.sandbox.use_agent() as directory:
        for _ in range(SESSIONS):
            command = home.get_cold()
            home.run(command)
        ours = int(_status(*agents_in(directory), "VmRSS")) / 1024
    with subprocess.Popen(bare.words, env=home.environ(bare), stdin=subprocess.PIPE) as process:
        _switches_when_asleep(process.pid)
        theirs = int(_status(process.pid, "VmRSS")) / 1024
        process.communicate()
    shown = f"the agent after {SESSIONS} x {command}", str(bare)
    return Figures("MB", shown, ours, theirs, ours / theirs)


def wake_ups_of_the_agent(home: Home, pairs: int) -> Figures:
    """How often an idle agent wakes up."""
    with home.sandbox.use_agent() as directory:
        home.run(home.get("developer"))
        (agent,) = agents_in(directory)
        before = _switches_when_asleep(agent)
        time.sleep(home.idle)
        return Figures("", ("voluntary_ctxt_switches of the agent",), _switches(agent) - before)


def api_calls(variables: Callable[[Home], dict[str, str]]) -> Callable[[Home, int], Figures]:
    """API calls of one boto3 client with these variables, next to static keys; the script measures itself."""

    def measure(home: Home, pairs: int) -> Figures:
        script = CALLS.replace("COUNT", str(home.calls))
        static = home.python("-c", script, AWS_PROFILE="org-admin")
        with home.sandbox.use_agent():
            home.warm_up(home.get("unlock-bucket"))
            ours = home.python("-c", script, **variables(home))
            timed = _without_mint(
                home, lambda: [(float(home.run(ours)), float(home.run(static))) for _ in range(pairs)]
            )
        return _figures(timed, str(ours), str(static))

    return measure


def exported(home: Home) -> dict[str, str]:
    """A root profile's session as `exec` exports it."""
    envelope = json.loads(home.run(home.get("unlock-bucket")))
    return {
        "AWS_ACCESS_KEY_ID": envelope["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": envelope["SecretAccessKey"],
        "AWS_SESSION_TOKEN": envelope["SessionToken"],
        "AWS_CREDENTIAL_EXPIRATION": envelope["Expiration"],
    }


by_profile = api_calls(lambda _: {"AWS_PROFILE": "unlock-bucket"})
ROWS = (
    Row("a hit through credhelper-get, next to 'python -c pass'", 1.1, hit("credhelper-get")),
    Row("a hit through credhelper-get, next to 'python -IS -c pass'", 1.3, hit("credhelper-get", "-IS")),
    Row("a hit through the console script, next to 'python -c pass'", 1.3, hit("credhelper get")),
    Row("a hit with 10,000 profiles, next to one with few", 1.1, hit_with_many_profiles),
    Row("200 cold callers: calls to STS", 1, calls_of_a_herd),
    Row("200 cold callers, next to 200 bare interpreters and a mint", 1.3, herd, fewer=10),
    Row("a cold mint, next to the same call in boto3", 1.3, cold_mint, fewer=2),
    Row("a keyring hit without an agent, next to keyring alone", 1.0, keyring_hit, fewer=2),
    Row("the agent's memory, next to a bare interpreter's", 1.4, memory_of_the_agent),
    Row("the agent's wake-ups in 5 idle seconds", 0, wake_ups_of_the_agent),
    Row("an API call with a hit, next to static keys", None, by_profile, fewer=4),
    Row("an API call with exported keys, next to static keys", None, api_calls(exported), fewer=4),
    Row("aws-export-credentials, next to a hit", None, other(Home.aws_export_credentials), 4, of_others=True),
    Row("elhaz, next to a hit", None, elhaz, 4, of_others=True),
    Row("aws configure export-credentials, next to a hit", None, other(Home.aws_cli), 4, of_others=True),
)


def _without_mint(home: Home, measure: Callable[[], Any]) -> Any:
    """The result of a measurement. Raises CannotMeasureError if it called STS."""
    minted = home.sts.count()
    result = measure()
    if home.sts.count() != minted:
        raise CannotMeasureError("not a hit: it asked STS")
    return result


def _in_turn(home: Home, pairs: int, commands: Callable[[], tuple[Command, Command]]) -> Figures:
    """Two commands alternately, after one run of each that does not count; every other pair is reversed."""
    for command in commands():
        _seconds(home, command)
    timed = []
    for number in range(pairs):
        step = -1 if number % 2 else 1
        timed.append(tuple([_seconds(home, command) for command in commands()[::step]][::step]))
    return _figures(timed, *map(str, commands()))


def _figures(timed: list[tuple[float, ...]], *commands: str) -> Figures:
    ours, theirs = (1000 * statistics.median(column) for column in zip(*timed, strict=True))
    return Figures("ms", commands, ours, theirs, statistics.median(mine / yours for mine, yours in timed))


def _seconds(home: Home, command: Command, crowd: int = 1) -> float:
    """The seconds until as many processes as the crowd have ended; all start at once."""
    environ, null = home.environ(command), subprocess.DEVNULL
    begun = time.perf_counter()
    processes = [subprocess.Popen(command.words, env=environ, stdin=null, stdout=null) for _ in range(crowd)]
    statuses = {process.wait() for process in processes} - {0}
    taken = time.perf_counter() - begun
    if statuses:
        raise CannotMeasureError(f"'{command}' ends with {', '.join(map(str, statuses))}")
    return taken


def _status(pid: int, name: str) -> str:
    return re.findall(rf"(?m)^{name}:\s+(\S+)", Path(f"/proc/{pid}/status").read_text())[0]


def _switches(pid: int) -> int:
    return int(_status(pid, "voluntary_ctxt_switches"))


def _switches_when_asleep(pid: int) -> int:
    """How often a process has gone to sleep, once it has been idle for a moment."""
    before = -1
    while before != (now := _switches(pid)) or _status(pid, "State") != "S":
        before = now
        time.sleep(0.2)
    return now


TABLE = "| {:58} | {:>9} | {:>9} | {:>6} | {:>7} |"


def main() -> None:
    """Measure the rows and print them as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-n", type=int, default=40, help="pairs of a hit (default 40); slow rows run fewer")
    parser.add_argument("--only", default="", metavar="PATTERN", help="rows whose name matches")
    options = parser.parse_args()
    print(TABLE.format("", "measured", "baseline", "ratio", "at most"), "|---|---:|---:|---:|---:|", sep="\n")
    commands = ["\nTimes are medians of whole processes, those of an API call of one call. The commands:"]
    with bench_home.opened(bench_home.from_a_wheel()) as home:
        for row in ROWS:
            if re.search(options.only, row.name, re.IGNORECASE):
                try:
                    figures = row.measure(home, max(1, options.n // row.fewer))
                except CannotMeasureError as error:
                    print(f"{row.name}: not measured: {error}", flush=True)
                    continue
                print(_line(row, figures), flush=True)
                labelled = zip(("measured", "baseline"), figures.commands, strict=False)
                commands += ["", row.name, *(f"  {label}: {command}" for label, command in labelled)]
    print("\n".join(commands))


def _line(row: Row, figures: Figures) -> str:
    def cell(amount: float | None, form: str) -> str:
        return "" if amount is None else f"{amount:{form}} {figures.unit * (form == '.1f')}".strip()

    form = ".1f" if figures.unit else ".0f"
    cells = (cell(figures.measured, form), cell(figures.baseline, form), cell(figures.ratio, ".2f"))
    line = TABLE.format(row.name, *cells, cell(row.at_most, "g"))
    judged = figures.measured if figures.ratio is None else figures.ratio
    return f"{line}  above" if row.at_most is not None and round(judged, 2) > row.at_most else line


if __name__ == "__main__":
    main()
