"""The fields of a model that hold secrets, as paths like those of SENSITIVE_PARAMS."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, AliasPath, BaseModel, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

_KINDS: Final = (SecretStr, SecretBytes, Secret)
_HERE: Final = ""


def secret_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the paths to whatever is a ``SecretStr``, ``SecretBytes`` or ``Secret`` in a model.

    Each name is there as it is stored and as it may be given. Where the keys of a dict lead to
    secrets, all of it is secret, and so is a model inside itself. Every field is where the
    annotations are not known: then nobody can tell.
    """
    found = _known_paths(model) if is_complete(model) else None
    if found is not None:
        return found
    fields = model.model_fields.items()
    return tuple(each for name, field in fields for each in names_of(name, field))


@lru_cache(maxsize=1000)
def _known_paths(model: type[BaseModel]) -> tuple[str, ...] | None:
    try:
        has_any = bool(list(_paths_of(model, (), at_loop=())))
        return tuple(dict.fromkeys(_paths_of(model, (), at_loop=(_HERE,)) if has_any else ()))
    except Exception:  # noqa: BLE001 - annotations may be any objects
        return None


def stored_paths(model: type[BaseModel], path: str) -> list[str]:
    """Return a path by all names of the fields that it leads through: aliases are what is stored.

    What is no field stays as it is: an older version may have had it.
    """
    is_complete(model)  # Its annotations then are types.
    head, _, rest = path.partition(".")
    found = [item for item in model.model_fields.items() if head in names_of(*item)]
    if not found:
        return [path]
    [(name, field), *_] = found
    inner = {each for model in _models_in(field.annotation) for each in stored_paths(model, rest)}
    rests = (sorted(inner) or [rest]) if rest else [""]
    return [f"{each}.{more}" if more else each for each in names_of(name, field) for more in rests]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield annotation if isinstance(annotation, type) else kind
        return
    for part in _parts_of(annotation, kind):
        yield from _models_in(part)


def is_complete(model: type[BaseModel]) -> bool:
    """Say whether all annotations of a model can be resolved by now."""
    if not model.__pydantic_complete__:
        model.model_rebuild(raise_errors=False)
    return bool(model.__pydantic_complete__)


def is_secret(value: object) -> bool:
    """Say whether a value hides another one from those who print it."""
    return isinstance(value, _KINDS)


def names_of(name: str, field: FieldInfo) -> list[str]:
    """Return all names of a field: first the one it is stored under, last its own."""
    found = [field.serialization_alias or name]
    aliases = field.validation_alias
    for alias in aliases.choices if isinstance(aliases, AliasChoices) else [aliases]:
        first = alias.path[0] if isinstance(alias, AliasPath) else alias
        found += [first] if isinstance(first, str) else []
    return list(dict.fromkeys([*found, name]))


def _paths_of(annotation: Any, seen: tuple[Any, ...], *, at_loop: Iterable[str]) -> Iterator[str]:
    """Yield the paths to secrets in what an annotation describes; empty for that itself."""
    kind = get_origin(annotation) or annotation
    if annotation in seen:
        yield from at_loop
    elif isinstance(kind, type) and issubclass(kind, _KINDS):
        yield _HERE
    elif fields := _fields_of(kind, annotation):
        for names, inner in fields.items():
            for path in _paths_of(inner, (*seen, annotation), at_loop=at_loop):
                yield from (f"{name}.{path}" if path else name for name in names)
    else:
        found = [
            path
            for part in _parts_of(annotation, kind)
            for path in _paths_of(part, (*seen, annotation), at_loop=at_loop)
        ]
        has_keys = isinstance(kind, type) and issubclass(kind, Mapping)
        yield from [_HERE] if has_keys and found else found


def _fields_of(kind: Any, annotation: Any) -> dict[tuple[str, ...], Any]:
    """Return the annotations of a model, a dataclass or a TypedDict by their names."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        model: type[BaseModel] = annotation if isinstance(annotation, type) else kind
        fields = model.model_fields
        return {tuple(names_of(name, field)): field.annotation for name, field in fields.items()}
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__required_keys__"):
        return {(name,): hint for name, hint in get_type_hints(kind).items()}
    return {}


def _parts_of(annotation: Any, kind: Any) -> Iterable[Any]:
    for hidden in ("__value__", "__supertype__", "__bound__"):
        # Of a type alias, a NewType and a TypeVar.
        if getattr(annotation, hidden, None) is not None:
            return [getattr(annotation, hidden)]
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return get_type_hints(kind).values()
    return get_args(annotation)
