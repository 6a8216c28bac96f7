"""Runs `doctor` in a sandbox and checks what is true for every run."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox import Sandbox

BOUND = 20.0
"""The most seconds that it may take, whatever hangs."""


@dataclass(frozen=True)
class Diagnosis:
    """The findings, as the documented JSON has them."""

    findings: list[dict[str, Any]]

    def __str__(self) -> str:
        """For a test that fails."""
        return "\n".join(f"{each['level']} {each['check']}: {each['sentence']}" for each in self.findings)

    @property
    def fit(self) -> bool:
        return not self.of("problem")

    def of(self, level: str, check: str | None = None) -> list[str]:
        """The sentences of this level, of one check or of all."""
        return [
            each["sentence"]
            for each in self.findings
            if each["level"] == level and check in (None, each["check"])
        ]

    def only(self, level: str, check: str) -> dict[str, Any]:
        """The one finding of this level and check."""
        found = [each for each in self.findings if (each["level"], each["check"]) == (level, check)]
        assert len(found) == 1, str(self)
        return found[0]


def consult(sandbox: Sandbox, *arguments: str, **environ: str) -> Diagnosis:
    """Run `doctor --json`, and check what holds for every run of it."""
    began = time.monotonic()
    result = sandbox.run_unchecked("doctor", "--json", *arguments, **environ)
    assert time.monotonic() - began < BOUND
    document = json.loads(result.stdout)
    diagnosis = Diagnosis(document["findings"])
    assert document["fit"] is diagnosis.fit
    assert result.status == (0 if diagnosis.fit else 1), result.stderr
    count = len(diagnosis.of("problem"))
    plural = "problem" if count == 1 else "problems"
    said = "" if diagnosis.fit else f"credhelper: error: not fit: {count} {plural} found\n"
    assert result.stderr == said
    for each in diagnosis.findings:
        assert sorted(each) == ["check", "hints", "level", "profile", "sentence"]
        assert each["level"] in ("fine", "note", "problem")
        assert all(re.fullmatch(r"[\x20-\x7e]+", text) for text in (each["sentence"], *each["hints"])), each
        assert each["level"] == "fine" or each["hints"], f"it does not say what to do: {each}"
        assert "internal" not in each["sentence"]
        assert "this check failed" not in each["sentence"], each
    return diagnosis


def sentence(sandbox: Sandbox, level: str, check: str, *arguments: str, **environ: str) -> str:
    """The sentence of the only finding of this level and check."""
    return str(consult(sandbox, *arguments, **environ).only(level, check)["sentence"])
