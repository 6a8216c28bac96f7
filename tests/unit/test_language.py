"""What people read is plain technical English: no file has a word of the private dialect."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

AVOIDED = re.compile(
    r"\b((?:some|no|any|every)body|whoever|an? (?:person|human) is needed|a yes|(?:what|whatever) was said"
    r"|stands?|(?:came|comes? (?:down )?)to|beside|of ours|so many|deaf to|house|room|laptop|whence|heed)\b",
    re.IGNORECASE,
)
"""Words that have a plain one: the caller, user interaction, a confirmation, is, next to, that many."""

DOCUMENTS = (
    "*.md", "docs/*.md", "*.toml", "Makefile", ".ci/run", "packaging/**/*", "credhelper/config.schema.json",
)  # fmt: skip


def _texts_of(tree: ast.Module, *, literals: bool) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.lineno, node.name.replace("_", " ")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and literals:
            yield node.lineno, node.value
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and not literals:
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of everything in a file that people read.

    Of a Python file: comments, docstrings, names, and the literals of the program, not those of its tests.
    """
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(content.splitlines(), 1)
        return
    tree = ast.parse(content)
    yield from _texts_of(tree, literals="tests" not in path.relative_to(ROOT).parts)
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def found_in(path: Path) -> list[str]:
    """Where in a file a word is to be replaced."""
    return [
        f"{path.relative_to(ROOT)}:{line}: '{found[0]}' in: {' '.join(text.split())[:100]}"
        for line, text in texts(path)
        for found in AVOIDED.finditer(" ".join(text.split()))
    ]


def _files() -> Iterator[Path]:
    for pattern in (*DOCUMENTS, "credhelper/**/*.py", "tests/**/*.py"):
        yield from (
            path
            for path in sorted(ROOT.glob(pattern))
            if path.is_file() and path.parent.name != "__pycache__"
        )


def test_no_file_has_a_word_of_the_dialect() -> None:
    here = Path(__file__)
    checked = [path for path in _files() if path != here]
    assert len(checked) > 150
    found = [place for path in checked for place in found_in(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("README.md", "one\nNobody knows.\n", 2),
        ("credhelper/x.py", '"""One."""\nraise Error(f"{a} so "\n    "many")\n', 2),
        ("credhelper/x.py", "# one\na = 1  # beside it\n", 2),
        ("tests/x.py", "\ndef test_a_yes_is_given():\n    pass\n", 2),
        ("tests/x.py", '\ndef test_a():\n    """It comes\n    to this."""\n', 2),
    ],
)
def test_each_kind_of_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, line: int
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert [place.split(": ")[0] for place in found_in(path)] == [f"{name}:{line}"]
