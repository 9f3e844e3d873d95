"""What a processor with a `Params` model has: typed arguments, of a version."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, RootModel

from django_partisan.config.wording import shown
from django_partisan.exceptions import UnreadableParams
from django_partisan.payloads.encoding import FIRST_VERSION, encode_arguments
from django_partisan.payloads.params import checked_params, read_params
from django_partisan.processor.calls import note


class TypedArguments:
    """Gives a processor with a ``Params`` its :attr:`params`."""

    _params_model: ClassVar[type[BaseModel] | None] = None

    if TYPE_CHECKING:
        params: Any
        """The arguments, as an instance of ``Params``; there is none without that."""

    @classmethod
    def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        """Return arguments that were stored under an older SCHEMA_VERSION as ``Params`` takes them.

        Write it where SCHEMA_VERSION is more than 1. ``version`` is what they were stored under, 1
        for those without one; ``data`` is the JSON by name, a dict that may be changed, and what
        has no name by its place, as ``"0"``. It is called once, whatever lies between the versions.
        """
        raise UnreadableParams(
            cls.__qualname__,
            version,
            f"this code has SCHEMA_VERSION {cls.SCHEMA_VERSION} and no upgrade_params()"  # type: ignore[attr-defined]
            ". Write that classmethod, and deploy it",
        )

    def read_params(self, stored: Mapping[str, Any]) -> None:
        """Have :attr:`params` be what stored arguments are read as; raise UnreadableParams."""
        note(self, "params", read_params(type(self), stored))

    def _params_of_call(self) -> BaseModel:
        """Return what :attr:`params` is of a processor that runs no task; raise InvalidParams."""
        if self._params_model is None:
            raise AttributeError(f"{type(self).__name__} has no Params, so it has no params")
        call: Any = self
        args, kwargs = call._called_with or (call.args, call.kwargs)  # noqa: SLF001
        return checked_params(type(self), args, kwargs).params

    @classmethod
    def _encoded_params(cls, args: Sequence[Any], kwargs: Mapping[str, Any], max_bytes: int) -> str:
        """Return the arguments of a call as they are stored; raise InvalidParams."""
        version: int = cls.SCHEMA_VERSION  # type: ignore[attr-defined]
        data = checked_params(cls, args, kwargs).data
        return encode_arguments(
            (), data, processor=cls.__name__, max_bytes=max_bytes, version=version
        )


def prepare_params(cls: type[Any], plain_init: Callable[..., None]) -> None:
    """Take the ``Params`` of a class that is being made; raise as :func:`check_params` does."""
    check_params(cls, plain_init)
    cls._params_model = getattr(cls, "Params", None)
    if cls._params_model is not None:
        params = functools.cached_property(TypedArguments._params_of_call)  # noqa: SLF001
        params.__set_name__(cls, "params")
        cls.params = params


def check_params(cls: type[Any], plain_init: Callable[..., None]) -> None:
    """Raise TypeError or ValueError, naming class and remedy, for a ``Params`` that cannot be.

    ``plain_init`` is the one constructor that such a class can have: the fields are its arguments.
    """
    _check_version(cls)
    model = getattr(cls, "Params", None)
    if model is None:
        return
    name = cls.__qualname__
    if fault := _fault_of(model):
        raise TypeError(
            f"{name}.Params must be a class derived from pydantic.BaseModel, of pydantic 2, and "
            f"{fault}; call it otherwise where it is something else"
        )
    if cls.__init__ is not plain_init:
        raise TypeError(
            f"{name} has Params and an __init__ of its own, and nobody could say which of them its "
            "arguments are for. Remove the __init__: validators of Params can do its checks, and "
            "run() finds the arguments in self.params"
        )
    own = inspect.getattr_static(cls, "params", None)
    if own is not None and getattr(own, "func", None) is not TypedArguments._params_of_call:  # noqa: SLF001
        raise TypeError(f"{name}.params is for the arguments that Params describes; rename it")
    named = cls.SENSITIVE_PARAMS
    for each in named if isinstance(named, (tuple, list)) else ():
        if isinstance(each, str) and each.partition(".")[0].isdecimal():
            raise TypeError(
                f"{name}.SENSITIVE_PARAMS names {each!r}, a place, and what Params describes is "
                "stored by names: write the name of the field"
            )


def _check_version(cls: type[Any]) -> None:
    name, version = cls.__qualname__, cls.SCHEMA_VERSION
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"{name}.SCHEMA_VERSION takes a whole number, got {version!r}")
    if version < FIRST_VERSION:
        raise ValueError(f"{name}.SCHEMA_VERSION must be 1 or more, got {version}")
    if not isinstance(inspect.getattr_static(cls, "upgrade_params"), classmethod):
        raise TypeError(
            f"{name}.upgrade_params must be a classmethod: there is no object yet whose arguments "
            "they are. Write @classmethod def upgrade_params(cls, version, data)"
        )


def upgrades(cls: type[Any]) -> bool:
    """Say whether a class can upgrade what was stored under an older version."""
    own: Any = inspect.getattr_static(cls, "upgrade_params")
    return own is not vars(TypedArguments)["upgrade_params"]


def _fault_of(model: Any) -> str:
    if not isinstance(model, type):
        return f"got {shown(model)}"
    if any(base.__module__.startswith("pydantic.v1") for base in model.__mro__):
        return f"{model.__qualname__} is a model of pydantic 1"
    if not issubclass(model, BaseModel):
        return f"{model.__qualname__} is none"
    if issubclass(model, RootModel):
        return f"{model.__qualname__} is a RootModel, which has no fields by name"
    return ""
