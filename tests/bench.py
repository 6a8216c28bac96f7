"""`make bench`: what credhelper costs beside the bare script that does the same, on the machine it runs on.

Each row times two commands in turn, as whole processes, and prints the median of both and of their ratio
pair by pair: a ratio holds when the machine's speed drifts. It never fails on a time.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sts as loopback
from laptop import HAS_SECRET_SERVICE, PROFILES, PROGRAM, Laptop

if TYPE_CHECKING:
    from collections.abc import Callable

ROLE = "arn:aws:iam::222233334444:role/Developer"

BARE_BOTO3 = f"""\
import boto3
session = boto3.Session(profile_name="org-admin", region_name="eu-west-1")
session.client("sts").assume_role(RoleArn="{ROLE}", RoleSessionName="bench")
"""

BARE_KEYRING = """\
import keyring
assert keyring.get_password("credhelper:KEY", "credhelper")
"""


@dataclass(frozen=True)
class Row:
    """Two commands to compare, and the most that their ratio may be by design."""

    name: str
    ours: Callable[[int], list[str]]
    baseline: list[str]
    at_most: float | None = None


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=15, help="pairs a row (default 15)")
    runs = parser.parse_args().n
    if not HAS_SECRET_SERVICE:
        sys.exit("bench: needs gnome-keyring and dbus (Debian: apt-get install gnome-keyring dbus)")
    with tempfile.TemporaryDirectory() as place, loopback.LoopbackSts() as sts:
        laptop = Laptop(Path(place) / "home")
        laptop.configure(PROFILES, endpoint=sts.url)
        with laptop.secret_service():
            rows = _rows(laptop)
            print(f"{'':44}{'ours':>9}{'baseline':>10}{'ratio':>7}{'at most':>9}")
            for row in rows:
                _print(row, _measure(row, laptop.environ, runs))
            print("\nmedians in milliseconds of whole processes; the commands:")
            for row in rows:
                print(f"\n{row.name}\n  ours:     {_shown(row.ours(0))}\n  baseline: {_shown(row.baseline)}")


def _rows(laptop: Laptop) -> list[Row]:
    laptop.get("developer")
    key = next(item for item in (laptop.state / "items.jsonl").read_text().split('"') if len(item) == 32)
    python = [sys.executable, "-c"]
    hit = [PROGRAM, "get", "developer"]
    return [
        Row(
            "a cold mint, keyring write included",
            lambda number: [PROGRAM, "get", "developer", "--role-arn", f"{ROLE}{number}"],
            [*python, BARE_BOTO3],
            1.3,
        ),
        Row("a keyring hit, no agent", lambda _: hit, [*python, BARE_KEYRING.replace("KEY", key)], 1.0),
        Row("a keyring hit beside a bare interpreter", lambda _: hit, [*python, "pass"]),
    ]


def _measure(row: Row, environ: dict[str, str], runs: int) -> list[tuple[float, float]]:
    for command in (row.ours(-1), row.baseline):
        _seconds(command, environ)
    return [
        (_seconds(row.ours(number + os.getpid() * 1000), environ), _seconds(row.baseline, environ))
        for number in range(runs)
    ]


def _seconds(command: list[str], environ: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def _print(row: Row, pairs: list[tuple[float, float]]) -> None:
    ours, baseline = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    limit = "" if row.at_most is None else f"{row.at_most:.1f}"
    print(f"{row.name:44}{ours:9.0f}{baseline:10.0f}{ratio:7.2f}{limit:>9}", flush=True)


def _shown(command: list[str]) -> str:
    return shlex.join(
        Path(word).name if word in (PROGRAM, sys.executable) else word for word in command
    ).replace("\n", "\n            ")


if __name__ == "__main__":
    main()
