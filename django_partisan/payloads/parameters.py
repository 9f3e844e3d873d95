"""The names of the arguments that a processor takes."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, NamedTuple

from django_partisan.payloads.secret_fields import names_of


class Parameters(NamedTuple):
    """The positional arguments by name, what takes the rest of them, and keywords.

    ``are_certain``: they are those of ``__init__``; ``run`` may only tell what is meant.
    """

    named: tuple[str, ...]
    rest: str | None
    keywords: frozenset[str]
    are_certain: bool
    takes_any_keyword: bool


@lru_cache(maxsize=1000)
def parameters_of(processor_class: Any) -> Parameters:
    """Return the names of positional arguments, by `__init__`, or by `run` when that has none."""
    found = _parameters_of(processor_class.__init__, are_certain=True)
    return found if found.named else _parameters_of(processor_class.run, are_certain=False)


def constructor_parameters(processor_class: Any) -> Parameters:
    """Return what ``__init__`` takes, whatever ``run`` would; the fields, where it has Params."""
    model = getattr(processor_class, "_params_model", None)
    if model is not None:
        stored = frozenset(names_of(*item)[0] for item in model.model_fields.items())
        return Parameters((), None, stored, are_certain=True, takes_any_keyword=False)
    return _parameters_of(processor_class.__init__, are_certain=True)


def _parameters_of(function: Any, *, are_certain: bool) -> Parameters:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    kinds = inspect.Parameter
    return Parameters(
        named=tuple(
            p.name
            for p in parameters
            if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        ),
        rest=next((p.name for p in parameters if p.kind == kinds.VAR_POSITIONAL), None),
        keywords=frozenset(p.name for p in parameters if p.kind == kinds.KEYWORD_ONLY),
        are_certain=are_certain,
        takes_any_keyword=any(p.kind == kinds.VAR_KEYWORD for p in parameters),
    )
