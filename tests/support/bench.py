"""`make bench`: what credhelper costs beside the bare program that does the same, on the machine it runs on.

Each row runs two commands in turn, as whole processes, and prints the median of both and of their ratio pair
by pair: a ratio holds when the machine's speed drifts. credhelper is installed by pip from a wheel. A time
above its limit is marked and never fails.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bench_home
from bench_home import CannotMeasureError, Command, Home
from sandbox import agents_in

if TYPE_CHECKING:
    from collections.abc import Callable

SOME_SESSIONS = 5

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
    """What a row has come to: medians, their unit, and the commands."""

    unit: str
    measured: float
    baseline: float | None
    ratio: float | None
    commands: dict[str, str]

    @property
    def judged(self) -> float:
        """What is held against the limit."""
        return self.measured if self.ratio is None else self.ratio


@dataclass(frozen=True)
class Row:
    """Something to measure, and the most that it may come to by design.

    The second argument of `measure` is how many pairs to run; a slow row runs `fewer` times fewer than a hit.
    """

    name: str
    at_most: float | None
    measure: Callable[[Home, int], Figures]
    fewer: int = 1


# What is measured ------------------------------------------------------------------------------------------


def hit_beside_python(home: Home, pairs: int) -> Figures:
    """A hit through the launcher, against a bare interpreter."""
    return _hit(home, pairs, home.get("developer"), home.python("-c", "pass"))


def hit_beside_isolated_python(home: Home, pairs: int) -> Figures:
    """A hit through the launcher, against a bare interpreter that is started as the launcher does."""
    return _hit(home, pairs, home.get("developer"), home.python("-IS", "-c", "pass"))


def hit_through_console_script(home: Home, pairs: int) -> Figures:
    """A hit through what pip writes for an entry point."""
    console = Command([*home.programs.console, "developer"])
    return _hit(home, pairs, console, home.python("-c", "pass"))


def hit_with_many_profiles(home: Home, pairs: int) -> Figures:
    """A hit with a long configuration, against one with a short one."""
    many, one = (home.get("developer", CREDHELPER_CONFIG=str(home.config(name))) for name in ("many", "one"))
    with home.sandbox.use_agent():
        home.warm_up(many, one)
        return _in_turn(home, pairs, lambda: many, lambda: one)


def calls_of_a_herd(home: Home, pairs: int) -> Figures:
    """How often STS is asked when everybody comes at once and there is no agent yet."""
    with home.keyring():
        _, calls, herd = _herd(home)
    return Figures("", calls, None, None, {"measured": herd})


def herd(home: Home, pairs: int) -> Figures:
    """How long that takes, against as many bare interpreters and one mint."""
    python = home.python("-c", "pass")
    timed = []
    with home.keyring():
        for _ in range(pairs):
            ours, _, shown = _herd(home)
            with home.sandbox.use_agent():
                mint = _seconds(home, home.get_cold())
            timed.append((ours, _together(home, python) + mint))
    shown_mint = f"{home.get_cold()} (once)"
    return _figures(timed, shown, f"{home.crowd} x {python}, and {shown_mint}")


def cold_mint(home: Home, pairs: int) -> Figures:
    """A call to STS with everything around it, against the same call alone."""
    bare = home.python("-c", BARE_BOTO3)
    with home.keyring(), home.sandbox.use_agent():
        home.run(home.get_cold())
        return _in_turn(home, pairs, home.get_cold, lambda: bare)


def keyring_hit(home: Home, pairs: int) -> Figures:
    """An answer from the keyring where no agent is wanted, against a script that reads the same item."""
    ours = home.get("developer", CREDHELPER_AGENT="off")
    with home.keyring():
        home.run(Command([*ours.words, "--refresh"], ours.environ))
        words = (home.sandbox.state / "items.jsonl").read_text().split('"')
        key = [word for word in words if re.fullmatch("[0-9a-z]{32}", word)][-1]
        bare = home.python("-c", BARE_KEYRING.replace("KEY", key))
        return _in_turn(home, pairs, lambda: ours, lambda: bare)


def memory_of_the_agent(home: Home, pairs: int) -> Figures:
    """What the agent keeps resident with some sessions, against an interpreter that waits."""
    bare = home.python("-c", "import sys; sys.stdin.read()")
    with home.sandbox.use_agent() as directory:
        for _ in range(SOME_SESSIONS):
            command = home.get_cold()
            home.run(command)
        ours = _resident(_agent(directory))
    with subprocess.Popen(bare.words, env=home.environ(bare), stdin=subprocess.PIPE) as process:
        _wait_until_asleep(process.pid)
        theirs = _resident(process.pid)
        process.communicate()
    shown = f"the agent after {SOME_SESSIONS} x {command}"
    return Figures("MB", ours, theirs, ours / theirs, {"measured": shown, "baseline": str(bare)})


def wake_ups_of_the_agent(home: Home, pairs: int) -> Figures:
    """How often the agent runs while nobody asks."""
    with home.sandbox.use_agent() as directory:
        home.run(home.get("developer"))
        agent = _agent(directory)
        _wait_until_asleep(agent)
        before = _switches(agent)
        time.sleep(home.idle)
        count = _switches(agent) - before
    return Figures("", count, None, None, {"measured": "voluntary_ctxt_switches of the agent"})


def calls_with_a_hit(home: Home, pairs: int) -> Figures:
    """An API call of an SDK that runs credhelper before each."""
    return _series(home, pairs, lambda: {"AWS_PROFILE": "unlock-bucket"})


def calls_with_exported_keys(home: Home, pairs: int) -> Figures:
    """An API call of an SDK that has a root profile's session in its environment."""
    return _series(home, pairs, lambda: exported(home))


def aws_export_credentials(home: Home, pairs: int) -> Figures:
    """aws-export-credentials with a cache file."""
    words = ["--profile", "developer-role", "--cache-file", str(home.sandbox.home / "cache.json")]
    theirs = Command([bench_home.helper("aws-export-credentials"), *words])
    return _hit(home, pairs, theirs, home.get("developer"))


def elhaz(home: Home, pairs: int) -> Figures:
    """Elhaz with its daemon."""
    with home.elhaz() as theirs:
        return _hit(home, pairs, theirs, home.get("developer"))


def aws_cli(home: Home, pairs: int) -> Figures:
    """The AWS CLI with its cache of roles."""
    return _hit(home, pairs, home.aws_cli(), home.get("developer"))


ROWS = (
    Row("a hit through credhelper-get, next to 'python -c pass'", 1.1, hit_beside_python),
    Row("a hit through credhelper-get, next to 'python -IS -c pass'", 1.3, hit_beside_isolated_python),
    Row("a hit through the console script, next to 'python -c pass'", 1.3, hit_through_console_script),
    Row("a hit with 10,000 profiles, next to one with few", 1.1, hit_with_many_profiles),
    Row("200 cold callers: calls to STS", 1, calls_of_a_herd),
    Row("200 cold callers, next to 200 bare interpreters and a mint", 1.3, herd, fewer=10),
    Row("a cold mint, next to the same call in boto3", 1.3, cold_mint, fewer=2),
    Row("a keyring hit without an agent, next to keyring alone", 1.0, keyring_hit, fewer=2),
    Row("the agent's memory, next to a bare interpreter's", 1.4, memory_of_the_agent),
    Row("the agent's wake-ups in 5 idle seconds", 0, wake_ups_of_the_agent),
    Row("an API call with a hit, next to static keys", None, calls_with_a_hit, fewer=4),
    Row("an API call with exported keys, next to static keys", None, calls_with_exported_keys, fewer=4),
    Row("aws-export-credentials, next to a hit", None, aws_export_credentials, fewer=4),
    Row("elhaz, next to a hit", None, elhaz, fewer=4),
    Row("aws configure export-credentials, next to a hit", None, aws_cli, fewer=4),
)


# How it is measured ----------------------------------------------------------------------------------------


def _hit(home: Home, pairs: int, measured: Command, baseline: Command) -> Figures:
    """Two commands in turn, where the agent has the session and nothing is to be minted."""
    with home.sandbox.use_agent():
        home.warm_up(home.get("developer"), measured, baseline)
        minted = home.sts.count()
        figures = _in_turn(home, pairs, lambda: measured, lambda: baseline)
    if home.sts.count() != minted:
        raise CannotMeasureError("what was measured was no hit: it asked STS")
    return figures


def _in_turn(
    home: Home, pairs: int, measured: Callable[[], Command], baseline: Callable[[], Command]
) -> Figures:
    """Two commands in turn, after a run of each that does not count; every other pair the other way round."""
    for make in (measured, baseline):
        _seconds(home, make())
    timed = []
    for number in range(pairs):
        if number % 2:
            theirs, ours = _seconds(home, baseline()), _seconds(home, measured())
        else:
            ours, theirs = _seconds(home, measured()), _seconds(home, baseline())
        timed.append((ours, theirs))
    return _figures(timed, str(measured()), str(baseline()))


def _figures(timed: list[tuple[float, float]], measured: str, baseline: str) -> Figures:
    ours, theirs = (1000 * statistics.median(column) for column in zip(*timed, strict=True))
    ratio = statistics.median(mine / yours for mine, yours in timed)
    return Figures("ms", ours, theirs, ratio, {"measured": measured, "baseline": baseline})


def _seconds(home: Home, command: Command) -> float:
    environ = home.environ(command)
    begun = time.perf_counter()
    status = subprocess.call(command.words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    taken = time.perf_counter() - begun
    if status:
        raise CannotMeasureError(f"'{command}' ends with {status}")
    return taken


def _herd(home: Home) -> tuple[float, int, str]:
    """Everybody at once for a session that nobody has: the seconds, the calls to STS, the command."""
    command = home.get_cold()
    minted = home.sts.count()
    with home.sandbox.use_agent():
        taken = _together(home, command)
    return taken, home.sts.count() - minted, f"{home.crowd} x {command}"


def _together(home: Home, command: Command) -> float:
    environ = home.environ(command)
    begun = time.perf_counter()
    processes = [
        subprocess.Popen(command.words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(home.crowd)
    ]
    statuses = [process.wait() for process in processes]
    taken = time.perf_counter() - begun
    if any(statuses):
        raise CannotMeasureError(f"{len(statuses) - statuses.count(0)} of {home.crowd} x '{command}' fail")
    return taken


def _series(home: Home, pairs: int, measured: Callable[[], dict[str, str]]) -> Figures:
    """Seconds a call that a program of ours has counted itself, with these variables and with static keys."""
    script = CALLS.replace("COUNT", str(home.calls))
    static = home.python("-c", script, AWS_PROFILE="org-admin")
    with home.sandbox.use_agent():
        home.warm_up(home.get("unlock-bucket"))
        ours = home.python("-c", script, **measured())
        minted = home.sts.count()
        timed = [(float(home.run(ours)), float(home.run(static))) for _ in range(pairs)]
    if home.sts.count() != minted:
        raise CannotMeasureError("what was measured were no hits: they asked STS")
    return _figures(timed, str(ours), str(static))


def exported(home: Home) -> dict[str, str]:
    """A root profile's session as `exec` hands it to a program."""
    import json

    envelope = json.loads(home.run(home.get("unlock-bucket")))
    return {
        "AWS_ACCESS_KEY_ID": envelope["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": envelope["SecretAccessKey"],
        "AWS_SESSION_TOKEN": envelope["SessionToken"],
        "AWS_CREDENTIAL_EXPIRATION": envelope["Expiration"],
    }


def _agent(directory: Path) -> int:
    (agent,) = agents_in(directory)
    return agent


def _status(pid: int, name: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:"))


def _resident(pid: int) -> float:
    return int(_status(pid, "VmRSS")) / 1024


def _switches(pid: int) -> int:
    return int(_status(pid, "voluntary_ctxt_switches"))


def _wait_until_asleep(pid: int) -> None:
    """Until a process has done what it had to and slept for a while."""
    before = -1
    while before != (now := _switches(pid)) or _status(pid, "State") != "S":
        before = now
        time.sleep(0.2)


# What is printed -------------------------------------------------------------------------------------------


def main() -> None:
    """Measure the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-n", type=int, default=40, help="pairs of a hit (default 40); slow rows run fewer")
    parser.add_argument("--only", default="", metavar="PATTERN", help="rows whose name has this in it")
    parser.add_argument("--markdown", action="store_true", help="the table as docs/speed.md has it")
    options = parser.parse_args()
    rows = [row for row in ROWS if re.search(options.only, row.name, re.IGNORECASE)]
    show = _markdown if options.markdown else _line
    print(*_head(markdown=options.markdown), sep="\n", flush=True)
    found: list[tuple[Row, Figures]] = []
    with bench_home.opened(bench_home.from_a_wheel()) as home:
        for row in rows:
            try:
                figures = row.measure(home, max(1, options.n // row.fewer))
            except CannotMeasureError as error:
                print(f"{row.name}: not measured: {error}", flush=True)
                continue
            print(show(row, figures), flush=True)
            found.append((row, figures))
    if not options.markdown:
        _print_commands(found)


def _head(*, markdown: bool) -> list[str]:
    titles = ("", "measured", "baseline", "ratio", "at most")
    if markdown:
        return [f"| {' | '.join(titles)} |", "|---|---:|---:|---:|---:|"]
    return ["{:60}{:>11}{:>11}{:>8}{:>9}".format(*titles)]


def _cells(row: Row, figures: Figures) -> list[str]:
    amounts = [
        "" if amount is None else f"{amount:.{1 if figures.unit else 0}f} {figures.unit}".strip()
        for amount in (figures.measured, figures.baseline)
    ]
    ratio = "" if figures.ratio is None else f"{figures.ratio:.2f}"
    return [*amounts, ratio, "" if row.at_most is None else f"{row.at_most:g}"]


def _line(row: Row, figures: Figures) -> str:
    line = "{:60}{:>11}{:>11}{:>8}{:>9}".format(row.name, *_cells(row, figures))
    return f"{line}  above" if _is_above(row, figures) else line


def _markdown(row: Row, figures: Figures) -> str:
    return f"| {' | '.join([row.name, *_cells(row, figures)])} |"


def _is_above(row: Row, figures: Figures) -> bool:
    return row.at_most is not None and round(figures.judged, 2) > row.at_most


def _print_commands(found: list[tuple[Row, Figures]]) -> None:
    print("\nTimes are medians of whole processes, those of an API call of one call. The commands:")
    for row, figures in found:
        print(f"\n{row.name}")
        for name, command in figures.commands.items():
            print(f"  {name}: {command}".replace("\n", "\n            "))


if __name__ == "__main__":
    main()
