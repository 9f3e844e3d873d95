"""What a model refuses, in words: field by field, and without the values of secret ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from django_partisan.config.wording import did_you_mean, listed, shown
from django_partisan.payloads.masking import scrubbed
from django_partisan.payloads.secret_fields import is_secret, names_of

Fault = tuple[str, str]
"""A field, empty for all of them together, and what is wrong with it."""
_MOST: Final = 10


def faults_of(
    error: ValidationError,
    model: type[BaseModel],
    secret: Sequence[str],
    given: Mapping[str, Any],
) -> list[Fault]:
    """Return what is wrong with values that were given; ``secret`` are the paths to secrets."""
    known = {name for name, field in model.model_fields.items() for name in names_of(name, field)}
    hidden = list(_texts_at(given, secret))
    found = []
    for details in error.errors(include_url=False)[:_MOST]:
        path = [str(step) for step in details["loc"]]
        text = _text_of(details, known)
        if _may_show(details["input"]) and _is_open(path, secret, known):
            text = f"{text}, got {shown(details['input'])}"
        found.append((".".join(path), scrubbed(text, hidden)))
    return found


def unknown_names(given: Mapping[str, Any], model: type[BaseModel]) -> list[Fault]:
    """Return a fault for each name that no field has."""
    own = {names_of(name, field)[0] for name, field in model.model_fields.items()}
    known = {name for name, field in model.model_fields.items() for name in names_of(name, field)}
    return [(name, f"unknown{did_you_mean(name, own)}") for name in given if name not in known]


def takes(model: type[BaseModel]) -> str:
    """Say what a model takes, as the call of a function is written."""
    named = [
        f"{names_of(name, field)[0]}{'' if field.is_required() else '=...'}"
        for name, field in model.model_fields.items()
    ]
    return f"Its Params takes ({listed(named, most=20)})"


def _text_of(details: ErrorDetails, known: set[str]) -> str:
    if details["type"] == "missing":
        return "is required"
    if details["type"] == "extra_forbidden":
        [first, *inner] = details["loc"]
        return "unknown" if inner else f"unknown{did_you_mean(first, known)}"
    return details["msg"]


def _may_show(value: object) -> bool:
    """Say whether a value is one alone: what holds others may hold secrets."""
    return not is_secret(value) and not isinstance(value, Mapping | list | tuple | set | BaseModel)


def _is_open(path: Sequence[str], secret: Sequence[str], known: set[str]) -> bool:
    """Say whether what is at a path may be shown; pydantic's path has places and kinds in it."""
    if not path or not secret:
        return bool(path)
    # What nobody knows may be a secret whose name was mistyped.
    return path[0] in known and not any(name.split(".")[0] == path[0] for name in secret)


def _texts_at(given: Mapping[str, Any], secret: Sequence[str]) -> Iterator[str]:
    for name in secret:
        head, *path = name.split(".")
        if head in given:
            yield from _leaves(given[head], path)


def _leaves(value: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield what is secret in a value as texts; of what nobody can look into, its own text."""
    if is_secret(value):
        value = value.get_secret_value()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, BaseModel):
        value = vars(value)
    if isinstance(value, Mapping):
        inner = [(item, path[1:]) for key, item in value.items() if not path or key == path[0]]
    elif isinstance(value, list | tuple | set | frozenset):
        inner = [(item, path) for item in value]
    else:
        inner = []
        if not isinstance(value, bool | None) and str(value).strip():
            yield str(value)
    for item, rest in inner:
        yield from _leaves(item, rest)
