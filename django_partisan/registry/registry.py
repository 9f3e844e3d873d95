"""The registry: which processor class a stored name stands for."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.apps import apps

from django_partisan.config.const import MAX_STORED_NAME_LENGTH
from django_partisan.config.wording import close_match
from django_partisan.exceptions import ProcessorClassAlreadyRegistered, ProcessorClassNotFound

ProcessorClass = type[Any]
"""A subclass of BaseTaskProcessor, which this floor does not know."""
SomeClass = TypeVar("SomeClass", bound=type[Any])

_NOTHING: Any = object()
_CALLED = (
    "@registry.register takes no arguments and no parentheses; write @registry.register above a "
    "subclass of BaseTaskProcessor, and its queue, priority and the like as QUEUE_NAME, PRIORITY "
    "and other attributes of the class"
)


class Registry:
    """Know every processor class by its stored name, its aliases and its bare name.

    A name is looked up in that order. The bare name (`SendMail`, as 1.6.1 stored it) counts only
    while one registered class has it; a name with a module in it never falls back to a bare one.
    """

    def __init__(self) -> None:
        self._by_stored_name: dict[str, ProcessorClass] = {}
        self._by_alias: dict[str, ProcessorClass] = {}
        self._by_bare_name: defaultdict[str, list[ProcessorClass]] = defaultdict(list)
        self.late_names: set[str] = set()
        """Stored names of what was registered after Django was set up: workers lack it."""
        self._is_discovering = False

    def register(self, processor_class: SomeClass = _NOTHING, /, **options: Any) -> SomeClass:
        """Register a class and return it, so that it also serves as a decorator.

        The decorator takes no arguments: how a task is run is said by attributes of its class.
        """
        if processor_class is _NOTHING or options:
            raise TypeError(_CALLED)
        self.register_processor_class(processor_class)
        return processor_class

    def register_processor_class(self, processor_class: ProcessorClass) -> None:
        """Make the class findable by its stored name, its bare name and its ALIASES.

        Raises ProcessorClassAlreadyRegistered when the stored name or an alias is taken, also by
        this very class; then nothing has changed. ALIASES of a parent class are not inherited.
        """
        if not isinstance(processor_class, type):
            raise TypeError(_refusal(processor_class))
        name, aliases = self.stored_name(processor_class), _own_aliases(processor_class)
        for taken in (name, *aliases):
            if taken in self._by_stored_name or taken in self._by_alias:
                raise ProcessorClassAlreadyRegistered(taken)
        self._by_stored_name[name] = processor_class
        self._by_alias.update(dict.fromkeys(aliases, processor_class))
        self._by_bare_name[processor_class.__name__].append(processor_class)
        if apps.ready and not self._is_discovering:
            self.late_names.add(name)

    @contextmanager
    def discovering(self) -> Iterator[None]:
        """Take what is registered inside for what every process finds when Django is set up."""
        before, self._is_discovering = self._is_discovering, True
        try:
            yield
        finally:
            self._is_discovering = before

    def is_processor_registered(self, name: str) -> bool:
        """Say whether `get_processor_class_by_name` would find exactly one class."""
        return self._find(name) is not None

    def get_processor_class_by_name(self, name: str) -> ProcessorClass:
        """Return the class a stored name, an alias or a unique bare name stands for.

        Raises ProcessorClassNotFound, naming the candidates when a bare name is ambiguous.
        """
        found = self._find(name)
        if found is None:
            raise ProcessorClassNotFound(name, self._hint_for(name))
        return found

    def stored_name(self, processor_class: ProcessorClass) -> str:
        """Return `module.QualName`, the name that tasks of this class are stored under.

        Raises ValueError when it is longer than the column.
        """
        name = f"{processor_class.__module__}.{processor_class.__qualname__}"
        if len(name) > MAX_STORED_NAME_LENGTH:
            raise ValueError(
                f"The name of processor {name} is {len(name)} characters long; "
                f"at most {MAX_STORED_NAME_LENGTH} can be stored. Shorten its module path."
            )
        return name

    def names(self) -> list[str]:
        """Return the stored names of all registered classes, sorted."""
        return sorted(self._by_stored_name)

    def classes_by_name(self) -> dict[str, ProcessorClass]:
        """Return every name that leads to a class: bare names, aliases and stored names."""
        bare = {name: same[0] for name, same in self._by_bare_name.items() if len(same) == 1}
        return {**bare, **self._by_alias, **self._by_stored_name}

    def _find(self, name: str) -> ProcessorClass | None:
        found = self._by_stored_name.get(name) or self._by_alias.get(name)
        if found is not None:
            return found
        same = self._by_bare_name.get(name, ())
        return same[0] if len(same) == 1 else None

    def _hint_for(self, name: str) -> str:
        candidates = sorted(map(self.stored_name, self._by_bare_name.get(name, ())))
        if candidates:
            return f"The bare name is ambiguous: it could be {' or '.join(candidates)}."
        close = close_match(name, self._by_stored_name)
        return f"Did you mean {close}?" if close else ""


def _own_aliases(processor_class: ProcessorClass) -> list[str]:
    aliases = vars(processor_class).get("ALIASES", ())
    if isinstance(aliases, str) or not all(isinstance(alias, str) for alias in aliases):
        raise TypeError(f"{processor_class.__qualname__}.ALIASES must be a tuple of names")
    own = f"{processor_class.__module__}.{processor_class.__qualname__}"
    return [alias for alias in dict.fromkeys(aliases) if alias != own]


def _refusal(given: object) -> str:
    if not callable(given):
        return _CALLED
    name = getattr(given, "__name__", type(given).__name__)
    return (
        f"{name} is no class: @registry.register takes subclasses of BaseTaskProcessor. Write "
        f"class {name.title().replace('_', '')}(BaseTaskProcessor) with a method run(self) that "
        "calls it, or decorate the function with @processor of django_partisan.processor instead"
    )


registry = Registry()
"""The project's registry."""


def register(processor_class: SomeClass = _NOTHING, /, **options: Any) -> SomeClass:
    """Register a processor class with the project's registry and return the class."""
    return registry.register(processor_class, **options)
