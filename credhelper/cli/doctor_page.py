"""What the doctor says: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from credhelper.cli import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credhelper.doctor.findings import Finding

LONGEST_NAME: Final = 22
"""Characters of a profile's name in a line of 80; longer ones are folded."""

_STYLES: Final = {"fine": "", "note": "yellow", "problem": "red"}


def table(findings: Sequence[Finding]) -> str:
    """A row a finding, and below it what to do."""
    rows: list[tables.Row] = []
    for each in findings:
        style = _STYLES[each.level]
        rows.append(tables.Row((each.level, each.profile or each.check, each.sentence), style))
        rows += [tables.Row((" ", " ", f"-> {hint}"), style) for hint in each.hints if hint]
    longest = max((len(each.profile or each.check) for each in findings), default=0)
    return tables.render({"level": 7, "about": min(longest, LONGEST_NAME), "finding": None}, rows)


def document(findings: Sequence[Finding]) -> str:
    """One JSON object: `fit`, and `findings` as `Finding.to_json` has them."""
    fit = all(finding.level != "problem" for finding in findings)
    return json.dumps({"fit": fit, "findings": [each.to_json() for each in findings]}) + "\n"
