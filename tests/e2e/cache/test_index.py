"""items.jsonl under several processes at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from credhelper.cache.index import Index
from credhelper.cache.locks import FileLocks
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path

ADDER = """\
import sys
from credhelper.cache.index import Index, Item
from credhelper.log import Log
from credhelper.cache.locks import FileLocks
path, run, who = sys.argv[1:]
index = Index(path, FileLocks(run, Log(path + ".log")), Log(path + ".log"))
for number in range(20):
    item = Item(f"{who}-{number}", "p", "AssumeRole", 5, 1)
    assert index.add(item)
    if number % 2:
        index.remove([item])
"""


def test_eight_processes_that_add_and_remove_lose_no_update(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    arguments = [str(tmp_path / "items.jsonl"), str(tmp_path / "run")]
    processes = [subprocess.Popen([sys.executable, "-c", ADDER, *arguments, str(who)]) for who in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    log = Log(str(tmp_path / "log"))
    index = Index(str(tmp_path / "items.jsonl"), FileLocks(str(tmp_path / "run"), log), log)
    expected = {f"{who}-{number}" for who in range(8) for number in range(0, 20, 2)}
    assert {item.key for item in index.items()} == expected
    assert len((tmp_path / "items.jsonl").read_text().splitlines()) == len(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.jsonl", "run"]
