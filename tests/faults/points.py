"""The labelled points of the package, found in its source, so that none can be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import django_partisan


def points() -> list[str]:
    """Return every label, in order."""
    root = Path(django_partisan.__file__).parent
    return sorted(label for path in root.rglob("*.py") for label in _labels(path))


def _labels(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "reach":
            yield str(ast.literal_eval(node.args[0]))
