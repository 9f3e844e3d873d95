"""The package's own code holds nothing that could make text or bytes into objects or actions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import django_partisan

PACKAGE = Path(django_partisan.__file__).parent
LOADERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "jsonpickle", "shelve", "yaml"}
IMPORTERS = {"importlib", "imp", "runpy", "pkgutil", "code", "codeop"}
RUNNERS = {"eval", "exec", "compile", "__import__", "import_string", "import_module"}
# Where, and why it is fine.
ALLOWED = {
    ("wire/channel.py", "marshal"): "plain values between a manager and its own workers",
    ("fault_points.py", "importlib"): "a module that the environment names, as PYTHONPATH could",
    ("fault_points.py", "import_module"): "the same, for tests of faults",
    ("worker/launcher.py", "import_string"): "the function that the project's PARTISAN_SETUP names",
    ("migrations/0013_object_key.py", "importlib"): "an operation of another migration",
    ("migrations/0013_object_key.py", "import_module"): "the same: no statement can hold its name",
    ("database/migration_state.py", "pkgutil"): "lists the package's own migrations",
}


def test_nothing_is_unpickled_imported_by_name_or_evaluated() -> None:
    found = set(_suspicious())
    assert found == set(ALLOWED)


def test_the_search_would_find_it() -> None:
    code = "import pickle.x as p\nfrom shelve import open\neval('1')\nbuiltins.exec('')\nloads(b'')"
    assert set(_names_in(ast.parse(code))) >= {"pickle", "shelve", "eval", "exec"}


def _suspicious() -> Iterator[tuple[str, str]]:
    suspects = LOADERS | IMPORTERS | RUNNERS | {"marshal"}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in _names_in(ast.parse(path.read_text())):
            if name in suspects:
                yield str(path.relative_to(PACKAGE)), name


def _names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield (module or "").partition(".")[0]
                yield from (alias.name for alias in names)
            case ast.Call(func=ast.Name(id=name)):
                yield name
            case ast.Call(func=ast.Attribute(attr=name)) if name != "compile":  # that of re
                yield name
