"""What a decorated method of a model is: for each model that has it, a processor of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NoReturn, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import router
from django.db.models import Model
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from django_partisan.config.wording import shown
from django_partisan.exceptions import FailTask
from django_partisan.models.object_keys import MAX_LENGTH, object_key, stored_pk
from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.function_processor import FunctionProcessor, Name, registered
from django_partisan.processor.functions import Delayable, ProcessorFunction

P = ParamSpec("P")
R = TypeVar("R")

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


class MethodProcessor(FunctionProcessor):
    """Loads an object by its primary key, the first argument, and calls its method."""

    model: ClassVar[type[Model]]

    @classmethod
    def check_call(cls, args: Sequence[Any]) -> None:
        """Raise TypeError or ValueError for what is no primary key as it is stored."""
        pk, label = args[0], cls._object_label
        if isinstance(pk, bool) or not isinstance(pk, (int, str)):
            raise TypeError(
                f"{cls.__qualname__}: its first argument is the primary key of a {label}, as a "
                f"number or as text, got {shown(pk)}; with an object, write "
                f"{cls.__qualname__}.delay(...)"
            )
        if len(f"{label}:{pk}") > MAX_LENGTH:
            raise ValueError(f"{cls.__qualname__}: the primary key {shown(pk)} is too long")

    def run(self) -> Any:
        """Return what the method of the object returns; raise FailTask when that is gone."""
        pk, *args = self.args
        return self.function(_loaded(self.model, pk), *args, **self.kwargs)

    async def run_coroutine(self) -> Any:
        """Return what the method of the object returns, which is a coroutine."""
        pk, *args = self.args
        loaded = await sync_to_async(_loaded)(self.model, pk)
        return await self.function(loaded, *args, **self.kwargs)


class ProcessorMethod(ProcessorFunction[P, R]):
    """A method that ``@processor`` has decorated, as its class has it.

    ``Order.send`` takes an object as its first argument, ``order.send`` is a :class:`BoundMethod`.
    """

    def __init__(self, function: Callable[P, R], rules: Mapping[str, Any]) -> None:
        super().__init__(function)
        self._rules = rules
        # As each model has it that neither is abstract nor has another method of this name.
        self._of_models: dict[type[Model], ProcessorMethod[P, R]] = {}

    def __set_name__(self, owner: type[Any], name: str) -> None:
        # Django asks attributes of models to contribute themselves instead.
        raise TypeError(
            f"@processor of {owner.__module__}.{owner.__qualname__}.{name}: "
            f"{owner.__qualname__} is no model, so no worker could load its object; move the method"
            " to a model, which may be abstract, or make it a function of its module"
        )

    def contribute_to_class(self, model: type[Model], name: str) -> None:
        """Be an attribute of a model, as Django asks for when the class is made."""
        setattr(model, name, self)

    def register(self, model: type[Model], name: str) -> None:
        """Have a processor for a model that has the method under a name."""
        concrete = model._meta.concrete_model or model  # noqa: SLF001
        full_name = Name(model.__module__, f"{model.__qualname__}.{name}")
        made = registered(
            MethodProcessor,
            self.__wrapped__,
            full_name,
            self._rules,
            signature=_with_pk(inspect.signature(self.__wrapped__)),
            model=model,
            _object_label=concrete._meta.label_lower,  # noqa: SLF001
        )
        own = self._of_models[model] = object.__new__(type(self))
        # With what the class has set on it, as Django's `short_description`.
        vars(own).update(vars(self), __name__=name, _processor=made)
        own.__module__, own.__qualname__ = full_name

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        own = self._of_models.get(type(instance) if owner is None else owner, self)
        return own if instance is None else BoundMethod(own, instance)

    @property
    def processor(self) -> type[BaseTaskProcessor]:
        """The registered class whose tasks call the method; each model has one of its own."""
        if "_processor" not in vars(self):
            raise AttributeError(
                f"{self.full_name} has no processor: that of each model has, which is not abstract"
                " and has no other method of this name"
            )
        return self._processor

    def step(self, /, *args: P.args, **kwargs: P.kwargs) -> BaseTaskProcessor:
        """Return the processor of a call, as a step of a flow; the object comes first."""
        given: tuple[Any, ...] = args
        obj, *rest = given or self._refuse("nothing")
        return self._own_of(obj).processor(self._pk_of(obj), *rest, **kwargs)

    def _made_many(
        self, items: Iterable[Sequence[Any]]
    ) -> tuple[type[BaseTaskProcessor], Iterable[Any]]:
        return self.processor, self._stored(items)

    def _stored(self, items: Iterable[Sequence[Any]]) -> Iterator[Any]:
        for place, item in enumerate(items):
            try:
                yield self._with_pk(item)
            except TypeError as error:
                raise TypeError(f"items[{place}]: {error}") from error
            except ValueError as error:
                raise ValueError(f"items[{place}]: {error}") from error

    def _with_pk(self, item: Any) -> Any:
        if not isinstance(item, (tuple, list)):
            return item  # which is refused with all else that is none of these
        obj, *rest = item or self._refuse("nothing")
        if self._own_of(obj) is not self:
            self._refuse(shown(obj))
        return (self._pk_of(obj), *rest)

    def _pk_of(self, obj: Model) -> int | str:
        try:
            object_key(obj)
        except ValueError as error:
            raise ValueError(f"{self.full_name} {error}") from error
        return stored_pk(obj)

    def _own_of(self, obj: Any) -> ProcessorMethod[P, R]:
        """Return the method as the object's own model has it."""
        return self._of_models.get(type(obj)) or self._refuse(shown(obj))

    def _refuse(self, given: str) -> NoReturn:
        models = ", ".join(model.__qualname__ for model in self._of_models)
        raise TypeError(
            f"{self.full_name} takes an object first, whose model has this very method ("
            f"{models or 'none has'}), got {given}"
        )


class BoundMethod(Delayable[P, R]):
    """A decorated method of one object: the object is the first argument of all calls."""

    def __init__(self, method: ProcessorMethod[Any, R], instance: Any) -> None:
        self.__func__ = method
        self.__self__ = instance
        self.__name__, self.__qualname__ = method.__name__, method.__qualname__
        self.__module__, self.__doc__ = method.__module__, method.__doc__

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the method of this very object."""
        return self.__func__.__wrapped__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__func__, name)

    def __repr__(self) -> str:
        return f"<processor {self.__func__.__qualname__} of {self.__self__!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ is other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), id(self.__func__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__.__wrapped__)
        first, *rest = signature.parameters.values()
        if first.kind == first.VAR_POSITIONAL:
            return signature
        return signature.replace(parameters=rest)

    @property
    def processor(self) -> type[BaseTaskProcessor]:
        """The registered class whose tasks call the method, of the object's own model."""
        return self.__func__.processor

    def step(self, /, *args: P.args, **kwargs: P.kwargs) -> BaseTaskProcessor:
        """Return the processor of a call for this object, as a step of a flow."""
        return self.__func__.step(self.__self__, *args, **kwargs)

    def _made_many(
        self, items: Iterable[Sequence[Any]]
    ) -> tuple[type[BaseTaskProcessor], Iterable[Any]]:
        return self.__func__._made_many(map(self._with_object, items))  # noqa: SLF001

    def _with_object(self, item: Any) -> Any:
        return (self.__self__, *item) if isinstance(item, (tuple, list)) else item


def takes_object(function: Callable[..., Any]) -> bool:
    """Say whether a function has a place for the object whose method it is."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.kind in _POSITIONAL


def _with_pk(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature of the tasks: the key of the object always comes first."""
    first, *rest = signature.parameters.values()
    if first.kind == first.POSITIONAL_OR_KEYWORD:
        first = first.replace(kind=first.POSITIONAL_ONLY)
    return signature.replace(parameters=[first, *rest])


def _loaded(model: type[Model], pk: int | str) -> Model:
    """Return an object as it is now, by the database that is written: others may be late."""
    label = model._meta.label  # noqa: SLF001
    objects = model._base_manager.using(router.db_for_write(model))  # noqa: SLF001
    try:
        return objects.get(pk=model._meta.pk.to_python(pk))  # noqa: SLF001
    except ObjectDoesNotExist:
        raise FailTask(f"{label} {pk} is gone: there is no object with this primary key") from None
    except (TypeError, ValueError, ValidationError) as error:
        raise FailTask(f"{label} {pk} cannot be loaded: that is no primary key") from error


@receiver(class_prepared)
def _register_methods(sender: type[Model], **_: object) -> None:
    """Register the methods that a model has, its own and those that it inherits."""
    if sender._meta.apps is not apps:  # noqa: SLF001 - a model of a migration
        return
    found = (each for base in sender.__mro__ for each in vars(base).items())
    for name in dict.fromkeys(name for name, value in found if isinstance(value, ProcessorMethod)):
        method = inspect.getattr_static(sender, name)
        if isinstance(method, ProcessorMethod):
            method.register(sender, name)
