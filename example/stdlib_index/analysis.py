"""What one Python source says about itself: a pure function from text to numbers."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)

BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""The fields of a syntax node that hold statements; nothing is defined anywhere else."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The measurements of one module.

    ``documentable`` counts what a reader expects a docstring on: the module itself and every class,
    function and method whose name does not start with an underscore and which is not hidden inside
    a function. ``documented`` counts those that have one.
    """

    lines: int
    functions: int
    classes: int
    documentable: int
    documented: int


def analyse(source: bytes, filename: str = "<source>") -> Analysis:
    """Measure one module from its bytes.

    Raises what Python's own parser raises for text that is not Python: ``SyntaxError`` (of which an
    unknown encoding is one) or ``ValueError`` (of which a wrong encoding is one).
    """
    tree = _parse(source, filename)
    found = list(_definitions(tree))
    functions = sum(isinstance(node, FUNCTIONS) for node, _ in found)
    public = [node for node, is_hidden in found if not is_hidden and not node.name.startswith("_")]
    return Analysis(
        lines=len(source.splitlines()),
        functions=functions,
        classes=len(found) - functions,
        documentable=1 + len(public),
        documented=_has_docstring(tree) + sum(map(_has_docstring, public)),
    )


def _parse(source: bytes, filename: str) -> ast.Module:
    with warnings.catch_warnings():
        # What a module is warned about when it is compiled is not this application's business.
        warnings.simplefilter("ignore")
        return ast.parse(source, filename=filename)


def _definitions(tree: ast.Module) -> Iterator[tuple[Definition, bool]]:
    """Yield every definition and whether it is hidden inside a function.

    Walks statements only, and without recursion: a long ``elif`` chain is deeper than the stack.
    """
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_hidden = pending.pop()
        if isinstance(node, DEFINITIONS):
            yield node, is_hidden
        is_hidden = is_hidden or isinstance(node, FUNCTIONS)
        pending.extend((child, is_hidden) for child in _statements(node))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for block in BLOCKS:
        children = getattr(node, block, ())
        if isinstance(children, list):  # ``body`` of a lambda or a conditional is an expression
            yield from children


def _has_docstring(node: Definition | ast.Module) -> bool:
    return ast.get_docstring(node, clean=False) is not None
