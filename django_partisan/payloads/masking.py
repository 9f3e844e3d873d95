"""The masking of secret arguments, as a processor's SENSITIVE_PARAMS names them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.payloads.parameters import parameters_of
from django_partisan.payloads.secret_fields import secret_fields, stored_paths
from django_partisan.registry.registry import registry

MASK: Final = "********"
"""What stands for a secret value wherever tasks are shown."""
_MAX_TEXTS: Final = 200
_SURELY_NO_WORD: Final = 4
"""A shorter text is looked for as a whole word only."""


class Arguments(NamedTuple):
    """The positional and keyword arguments of a task."""

    args: list[Any]
    kwargs: dict[str, Any]


def masked(processor: str, arguments: Any) -> Any:
    """Return a task's stored arguments with :data:`MASK` for what its processor calls secret.

    The arguments of a processor that is gone are masked altogether where any processor has
    secrets: nobody can tell which they were.
    """
    names = _secret_names(processor)
    if names is None:
        return MASK
    if not names:
        return arguments
    if not isinstance(arguments, dict):
        return MASK
    try:
        shown = _visited(_class_of(processor), names, arguments, lambda _: MASK)
    except RecursionError:
        return MASK
    return {**arguments, **{k: v for k, v in shown._asdict().items() if k in arguments}}


def secrets_in(processor: str, arguments: Any) -> list[str] | None:
    """Return the secret values of a task as texts, to look for them in other texts.

    None when they cannot be known.
    """
    names = _secret_names(processor)
    if not names or not isinstance(arguments, dict):
        return None if names is None else []
    found: dict[str, None] = {}

    def note(leaf: Any) -> Any:
        if not isinstance(leaf, bool | None) and str(leaf).strip():
            found[str(leaf)] = None
        return leaf

    try:
        _visited(_class_of(processor), names, arguments, lambda value: _each_leaf(value, note))
    except RecursionError:
        return None
    return list(found)


def scrubbed(text: str, secrets: Sequence[str] | None) -> str:
    """Return a text with :data:`MASK` wherever one of the secret values stands in it.

    They are found as they are, as Python and JSON write them, quoted for URLs, and line by line.
    When they are unknown, or too many to look for, the whole text is masked.
    """
    if secrets is None or len(secrets) > _MAX_TEXTS:
        return MASK
    forms = {form for secret in secrets for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= _SURELY_NO_WORD:
            text = text.replace(form, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def has_secrets(processor: str) -> bool:
    """Say whether a processor that is known calls any of its arguments secret."""
    return bool(_secret_names(processor))


def may_have_secrets(processor: str) -> bool:
    """Say whether any arguments of a processor are masked: all are when it is gone."""
    return _secret_names(processor) != ()


def open_names() -> list[str] | None:
    """Return the names of all processors without secrets; None when no processor has any."""
    classes = registry.classes_by_name()
    names = [name for name, known in classes.items() if not secret_names(known)]
    return None if len(names) == len(classes) else names


def _secret_names(processor: str) -> Sequence[str] | None:
    """Return what a processor calls secret; None when it is unknown and others have secrets."""
    try:
        return secret_names(_class_of(processor))
    except ProcessorClassNotFound:
        return () if open_names() is None else None


def secret_names(processor_class: Any) -> Sequence[str]:
    """Return what a processor calls secret, and the fields of its ``Params`` that hide values."""
    names = tuple(getattr(processor_class, "SENSITIVE_PARAMS", ()))
    model = getattr(processor_class, "_params_model", None)
    if model is None:
        return names
    return (*(each for name in names for each in stored_paths(model, name)), *secret_fields(model))


def _class_of(processor: str) -> Any:
    return registry.get_processor_class_by_name(processor)


def _visited(
    processor_class: Any,
    names: Iterable[str],
    arguments: dict[str, Any],
    visit: Callable[[Any], Any],
) -> Arguments:
    """Return the arguments with what `visit` makes of each secret one."""
    args, kwargs = arguments.get("args"), arguments.get("kwargs")
    seen = Arguments(
        list(args) if isinstance(args, list) else [],
        dict(kwargs) if isinstance(kwargs, dict) else {},
    )
    for name in names:
        head, *path = name.split(".")
        if head in seen.kwargs:
            seen.kwargs[head] = _at(seen.kwargs[head], path, visit)
        for place in _places(processor_class, head, seen):
            seen.args[place] = _at(seen.args[place], path, visit)
    return seen


def _places(processor_class: Any, name: str, seen: Arguments) -> Iterable[int]:
    """Return the positions of the positional arguments that a name stands for."""
    parameters, count = parameters_of(processor_class), len(seen.args)
    if name.isdecimal():
        return [int(name)] if int(name) < count else []
    if name in parameters.named:
        place = parameters.named.index(name)
        return [place] if place < count else []
    if name == parameters.rest:
        return range(len(parameters.named), count)
    if name in seen.kwargs or name in parameters.keywords:
        return []
    # Nobody knows where it stands: hide whatever could be it.
    return range(len(parameters.named) if parameters.are_certain else 0, count)


def _at(value: Any, path: Sequence[str], visit: Callable[[Any], Any]) -> Any:
    """Return a value with what is at a path in it visited; the path goes through each of a list."""
    if not path:
        return visit(value)
    if isinstance(value, list):
        return [_at(item, path, visit) for item in value]
    if isinstance(value, dict):
        head, rest = path[0], path[1:]
        return {**value, head: _at(value[head], rest, visit)} if head in value else value
    # Something else than was expected stands there; it may hold the secret.
    return value if value is None else visit(value)


def _each_leaf(value: Any, visit: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_each_leaf(item, visit) for item in value]
    if isinstance(value, dict):
        return {key: _each_leaf(item, visit) for key, item in value.items()}
    return visit(value)


def _forms(secret: str) -> Iterator[str]:
    for text in {secret, *(line for line in secret.splitlines() if len(line) >= _SURELY_NO_WORD)}:
        yield text
        yield repr(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield quote(text, safe="", errors="replace")
        yield quote_plus(text, errors="replace")


__all__ = [
    "MASK",
    "has_secrets",
    "masked",
    "may_have_secrets",
    "open_names",
    "scrubbed",
    "secret_names",
    "secrets_in",
]
