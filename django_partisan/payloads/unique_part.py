"""The arguments that make a task unique, as a processor's UNIQUE_KEY names them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django_partisan.payloads.parameters import constructor_parameters

_ABSENT: Final = object()


def unique_part(
    processor_class: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments that UNIQUE_KEY names, each under its name there.

    An argument that ``__init__`` has a default for counts as given; any other that was not given is
    left out. Raises ValueError where none of them was given, TypeError where one is named that
    ``__init__`` does not take.
    """
    names = processor_class.UNIQUE_KEY
    check_names(processor_class)
    named, positional = _bound(processor_class, args, kwargs)
    found = {}
    for name in names:
        head, *path = name.split(".")
        value = named.get(head, _ABSENT)
        if value is _ABSENT and head.isdecimal() and int(head) < len(positional):
            value = positional[int(head)]
        value = _at(value, path)
        if value is not _ABSENT:
            found[name] = value
    if names and not found:
        raise ValueError(
            f"{processor_class.__qualname__}.UNIQUE_KEY names {_listed(names)}, and this task has "
            f"no such argument: give it one, or correct UNIQUE_KEY"
        )
    return found


def check_names(processor_class: Any) -> None:
    """Raise TypeError, naming class and remedy, where UNIQUE_KEY names what nobody can give."""
    parameters = constructor_parameters(processor_class)
    taker = "__init__" if _model_of(processor_class) is None else "Params"
    takes = {*parameters.named, *parameters.keywords, *filter(None, [parameters.rest])}
    for name in processor_class.UNIQUE_KEY or ():
        head = name.partition(".")[0]
        if head.isdecimal():
            is_there = parameters.rest is not None or int(head) < len(parameters.named)
        else:
            is_there = parameters.takes_any_keyword or head in takes
        if not is_there:
            raise TypeError(
                f"{processor_class.__qualname__}.UNIQUE_KEY names {name!r}, which its {taker} "
                f"does not take; it takes {_listed(sorted(takes)) or 'nothing'}"
            )


def _model_of(processor_class: Any) -> Any:
    return getattr(processor_class, "_params_model", None)


def encoded(part: dict[str, Any]) -> str:
    """Return the part as text that is the same for equal arguments."""
    return json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _bound(
    processor_class: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Return the arguments by name, and the positional ones by place."""
    signature = inspect.signature(processor_class.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:  # its own __new__ takes others
        return dict(kwargs), list(args)
    bound.apply_defaults()
    values = dict(list(bound.arguments.items())[1:])
    positional = list(_positional(signature, values))
    for parameter in signature.parameters.values():
        if parameter.kind == parameter.VAR_KEYWORD:
            values |= values.pop(parameter.name)
    return values, positional


def _positional(signature: inspect.Signature, values: dict[str, Any]) -> Iterator[Any]:
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind == parameter.VAR_POSITIONAL:
            yield from values[parameter.name]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            yield values[parameter.name]


def _at(value: Any, path: Sequence[str]) -> Any:
    """Return what is at a path in a value; of a list, what is there in each of its items."""
    if not path or value is _ABSENT:
        return value
    if isinstance(value, (list, tuple)):
        found = [_at(item, path) for item in value]
        return [item for item in found if item is not _ABSENT]
    if isinstance(value, dict) and path[0] in value:
        return _at(value[path[0]], path[1:])
    return _ABSENT


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
