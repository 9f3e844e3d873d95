"""The record of what a processor was called with, whatever its class makes of that."""

from __future__ import annotations

import copy
import functools
from typing import Any

Call = tuple[tuple[Any, ...], dict[str, Any]]
# By the way of object: a class may be frozen, or mind what is set on its instances.
note = object.__setattr__
_CONTAINERS = frozenset({list, tuple, dict})


def record_call(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep what an instance is made of, whatever its constructor does with that."""
    call = _kept_call(args, kwargs)
    # As the plain constructor has them; whoever changes them does not change what is enqueued.
    vars(instance).update(args=call[0], kwargs=copy.copy(call[1]), _called_with=call)


def _kept_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return arguments that a constructor may change as they are now: with copies of containers."""
    if not kwargs and _CONTAINERS.isdisjoint(map(type, args)):
        return args, kwargs
    try:
        return _kept(args), _kept(kwargs)
    except RecursionError:  # too deep to be stored, which is said when it is
        return args, kwargs


def record_calls_of_own_new(cls: type[Any], base_new: Any) -> None:
    """Have a ``__new__`` of a class or of its mixins record what it is called with.

    It may pass on to the base's whatever it likes, or nothing.
    """
    own = cls.__new__
    if own is base_new or hasattr(own, "records_calls"):
        return

    @functools.wraps(own)
    def recording(klass: type[Any], /, *args: Any, **kwargs: Any) -> Any:
        call = _kept_call(args, kwargs)
        made = own(klass, *args, **kwargs)
        if isinstance(made, klass):
            record_call(made, *call)
        return made

    recording.records_calls = True  # type: ignore[attr-defined]
    cls.__new__ = staticmethod(recording)


def _kept(value: Any) -> Any:
    match value:
        case list() if type(value) is list:
            return [_kept(item) if type(item) in _CONTAINERS else item for item in value]
        case tuple() if type(value) is tuple:
            return tuple(_kept(list(value)))
        case dict() if type(value) is dict:
            return {key: _kept(item) for key, item in value.items()}
    return value
