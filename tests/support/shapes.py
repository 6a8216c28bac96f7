"""The tables of docs/json.md as JSON Schemas, so that they are checked against what is really printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from sandbox import Sandbox

DOCUMENT = Path(__file__).parents[2] / "docs/json.md"

_TYPES: dict[str, Any] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "yes/no": {"type": "boolean"},
    "object": {"type": "object"},
    "list": {"type": "array"},
    "any": {},
}


def schema(command: str) -> dict[str, Any]:
    """What docs/json.md says that `credhelper COMMAND --json` prints: an object, or each of its lines."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (section,) = re.findall(
        rf"^## `credhelper {command} --json`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    root: dict[str, Any] = {}
    for path, kind in re.findall(r"^\| `([^`]+)` \| ([a-z/]+\??) \|", section, re.MULTILINE):
        _reach(root, path).update(_typed(kind))
    assert root, command
    return root


def check(command: str, document: object) -> None:
    """Fail where a document is not of the shape that is documented for the command."""
    jsonschema.validate(document, schema(command))


def told(sandbox: Sandbox, command: str, *arguments: str, **environ: str) -> Any:
    """What `credhelper COMMAND --json` prints, of the documented shape."""
    words = command.removesuffix(" NAME").split()
    document = json.loads(sandbox.prints(*words, "--json", *arguments, **environ))
    check(command, document)
    return document


def _reach(root: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of the member at a path; those on the way there are made."""
    place = root
    for step in path.split("."):
        name = step.removesuffix("[]")
        if place.setdefault("type", "object") == "object" or "object" in place["type"]:
            place.setdefault("properties", {})
            place["additionalProperties"] = False
            place["required"] = sorted({*place.get("required", []), name})
        place = place["properties"].setdefault(name, {})
        if step.endswith("[]"):
            place["type"] = "array"
            place = place.setdefault("items", {})
    return place


def _typed(kind: str) -> dict[str, Any]:
    found = dict(_TYPES[kind.removesuffix("?")])
    if kind.endswith("?"):
        found["type"] = [found["type"], "null"]
    return found
