"""The class that users subclass: what a task does, and by which rules it is run."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db.models import Model
from pydantic import BaseModel

from django_partisan import lifecycle
from django_partisan.config.wording import shown
from django_partisan.exceptions import InvalidParams
from django_partisan.lifecycle.dependencies import results_of_parents
from django_partisan.lifecycle.instances import instance_of
from django_partisan.payloads.encoding import (
    decode_arguments,
    decode_stored,
    encode_arguments,
)
from django_partisan.payloads.masking import secret_names
from django_partisan.payloads.unique_part import encoded, unique_part
from django_partisan.processor.after import after_of
from django_partisan.processor.async_delay import AsyncDelay
from django_partisan.processor.attributes import Attributes
from django_partisan.processor.calls import Call, note, record_call, record_calls_of_own_new
from django_partisan.processor.checkpoints import Resumable
from django_partisan.processor.habits import Elsewhere, refusing_habits
from django_partisan.processor.logger import OwnLogger
from django_partisan.processor.new_task import on_duplicate_of, template_of, unique_hash
from django_partisan.processor.rules import accept_old_queue_attribute, check_rules
from django_partisan.processor.run_method import check_run, runs_async
from django_partisan.processor.run_now import run_now
from django_partisan.processor.scheduled import check_call, check_schedules, scheduled_task
from django_partisan.processor.typed import TypedArguments, prepare_params
from django_partisan.registry.registry import registry
from django_partisan.settings import get_process_settings

if TYPE_CHECKING:
    from django_partisan.attempt import ClaimedTask
    from django_partisan.database.values import NewTask
    from django_partisan.models import Task


class BaseTaskProcessor(Attributes, AsyncDelay, Resumable, TypedArguments, abc.ABC):
    """Subclass this, write :meth:`run`, register the class, and call ``YourClass(...).delay()``.

    Positional and keyword arguments are kept as ``self.args`` and ``self.kwargs``; they travel as
    JSON, so a tuple arrives as a list. Inside a running task ``self.task_obj`` is its row. A class
    may have an ``__init__`` of its own, which need not call this one: the arguments that it was
    called with are what is stored, and what it is called with again by the worker.
    """

    logger = OwnLogger()
    """Logs as any logger of its module does, with the task's fields, and into the task's log."""
    runs_async: ClassVar[bool] = False
    """Whether run() is a coroutine; found out when the class is made."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    _bare: ClassVar[Any]
    # Of the model whose objects have the first argument as their primary keys.
    _object_label: ClassVar[str | None] = None
    # What makes an instance: kept, as super() costs more than all else here.
    _called_with: Call | None = None
    _claimed: ClaimedTask | None = None
    _task_obj: Task | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        accept_old_queue_attribute(cls)
        prepare_params(cls, _plain_init)
        check_rules(cls)
        check_run(cls)
        cls.runs_async = runs_async(cls)
        check_schedules(cls)
        cls._bare = super().__new__
        record_calls_of_own_new(cls, BaseTaskProcessor.__new__)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        """Record the arguments of the call, where a constructor of its own may change them."""
        self: Self = cls._bare(cls)
        if cls.__init__ is not _plain_init:
            record_call(self, args, kwargs)
        return self

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs

    @abc.abstractmethod
    def run(self) -> Any:
        """Do the work; the return value is kept on the task as JSON. May be ``async def``."""

    def retry_delay(self, error: Any, attempt: int) -> timedelta | float | None:  # noqa: ARG002
        """Return the pause before the retry that ``error`` has earned, None for the usual one.

        Seconds or a timedelta; 0 is at once, and nothing is longer than ten years. ``attempt``,
        from 1 on, is the number of the one that has failed. RETRY_ON_ERROR_CONFIG has decided by
        then that there is a retry; None leaves the pause to ``retry_after_seconds`` of the error,
        then to that configuration. What is raised in here, or is no pause, is logged and taken for
        None.
        """
        return None

    @property
    def task_obj(self) -> Task | None:
        """The task that runs now, None outside a task. Columns not yet known are read lazily."""
        if self._task_obj is None and self._claimed is not None:
            note(self, "_task_obj", instance_of(self._claimed))
        return self._task_obj

    @property
    def parent_results(self) -> list[Any]:
        """What the tasks have returned that this one has waited for, in the order of their storing.

        None for one that did not finish. Empty outside a task. Read from the database at each look.
        """
        bound = self._claimed or self._task_obj
        return [] if bound is None else results_of_parents(bound.id)

    @property
    def processor_name(self) -> str:
        """The name that tasks of this class are stored under: ``module.QualName``."""
        return registry.stored_name(type(self))

    if not TYPE_CHECKING:
        apply_async = Elsewhere()
        enqueue = Elsewhere()
        send = Elsewhere()
        send_with_options = Elsewhere()
        schedule = Elsewhere()

    @refusing_habits
    def delay(
        self,
        *,
        priority: int | None = None,
        execute_after: datetime | timedelta | float | None = None,
        repeat: timedelta | float | None = None,
        repeat_until: datetime | None = None,
        expires: datetime | timedelta | float | None = None,
        verbose_name: str | None = None,
        creator: Model | None = None,
        tags: Sequence[str] = (),
        after: Iterable[Task] | None = None,
        on_dependency_failure: str = "cancel",
    ) -> Task:
        """Store the task in the caller's transaction and return it.

        ``execute_after`` is an aware datetime (under ``USE_TZ = False`` a naive one is in
        ``TIME_ZONE``), or a timedelta or seconds from now by the database's clock. ``expires`` is
        the last moment at which it may start, or how long after it is due that is; without it,
        EXPIRES_SECONDS. A unique task that already waits is returned instead, by ``ON_DUPLICATE``;
        its ``was_duplicate`` is True.

        With ``repeat``, seconds or a timedelta, each task that finishes is followed by another one
        with the same arguments, priority and queue: so many elapsed seconds after the moment for
        which it was scheduled itself, or as many times as much as it takes for that not to be past.
        The last is due at ``repeat_until`` at the latest. A failure and a cancel end the chain.
        Only other chains are its duplicates, and they are until it has ended.

        With ``after``, it waits until each of these tasks has ended, in status ``waiting``; then it
        is due as ever. Where one of them ends in error or is cancelled or deleted, it is cancelled
        with that reason, or runs all the same by ``on_dependency_failure="run"``. Until the
        caller's transaction ends, nobody claims or records those tasks.
        People read ``verbose_name``, and find the task by ``creator``, any stored model object, and
        ``tags``: with ``Task.objects.created_by()`` and ``Task.objects.tagged()``.

        Raises TypeError for a processor bound to a task and for arguments that are not JSON (naming
        the argument), ValueError for values no database can store, ProcessorClassNotFound for a
        class that is not registered, ProcessorNotDiscovered for one that workers would not find,
        UnknownQueue for a queue that is not configured, DependencyNotFound for a task to wait for
        that is not there. Then nothing is stored.
        """
        wanted = after_of(self, after, on_dependency_failure)
        template = template_of(
            self,
            priority=priority,
            execute_after=execute_after,
            repeat=repeat,
            repeat_until=repeat_until,
            expires=expires,
            verbose_name=verbose_name,
            creator=creator,
            tags=tags,
        )
        arguments = self._encoded(get_process_settings().MAX_ARGUMENTS_BYTES)
        key = self._unique_hash(template, arguments) if self.UNIQUE_FOR_PARAMS else None
        new_task = template._replace(arguments=arguments, unique_hash=key)
        if wanted is not None:
            return lifecycle.enqueue_after(new_task, on_duplicate_of(self), wanted)
        return lifecycle.enqueue(new_task, on_duplicate_of(self))

    @classmethod
    def delay_many(
        cls,
        items: Iterable[Self | Sequence[Any] | BaseModel],
        *,
        priority: int | None = None,
        execute_after: datetime | timedelta | float | None = None,
        repeat: timedelta | float | None = None,
        repeat_until: datetime | None = None,
        expires: datetime | timedelta | float | None = None,
        verbose_name: str | None = None,
        creator: Model | None = None,
        tags: Sequence[str] = (),
        after: Iterable[Task] | None = None,
        on_dependency_failure: str = "cancel",
    ) -> list[Task]:
        """Store a task for each item in the caller's transaction; return the tasks in that order.

        An item is a processor of exactly this class, a tuple or list of positional arguments, or an
        instance of its ``Params``.
        ``items`` may be any iterable, a generator as well. Thousands of tasks are inserted by one
        statement, at the rules of the class and, in all else, as by :meth:`delay`: where items are
        duplicates of each other or of a waiting task, the same task is returned for each, and
        ``was_duplicate`` is True on all but a new one.

        All items are checked first. Raises as :meth:`delay` does, naming the item as ``items[2]``,
        and TypeError for an item of any other kind. Then nothing is stored, and neither when the
        database refuses: outside a transaction, the call is one of its own.
        """
        wanted = after_of(cls, after, on_dependency_failure)
        template = template_of(
            cls,
            priority=priority,
            execute_after=execute_after,
            repeat=repeat,
            repeat_until=repeat_until,
            expires=expires,
            verbose_name=verbose_name,
            creator=creator,
            tags=tags,
        )
        arguments, keys = cls._encoded_items(items), None
        if cls.UNIQUE_FOR_PARAMS:
            keys = cls._unique_hashes(template, arguments)
        action = on_duplicate_of(cls)
        if wanted is not None:
            return lifecycle.enqueue_many_after(template, arguments, keys, action, wanted)
        return lifecycle.enqueue_many(template, arguments, keys, action)

    def run_now(self) -> Any:
        """Do the work here and now: return what :meth:`run` returns, raise what it raises.

        Nothing is stored, and there is no task: ``task_obj`` is None. As in a worker, a new
        processor is made of the arguments after their way through JSON, so that a tuple arrives as
        a list; and that of an ATOMIC class runs in a transaction on the tasks' database. All else
        that a worker does is left out: TIMEOUT_SECONDS is not enforced, nothing is tried again or
        masked, and PostponeTask, CancelTask and FailTask are raised to the caller. An ``async def
        run`` is awaited, and its ORM uses the connections of the caller.

        Raises TypeError and ValueError for arguments that :meth:`delay` would refuse, and TypeError
        for a processor bound to a task and for a ``run`` that returned a coroutine or a generator;
        RuntimeError for an ``async def run`` in a coroutine: ``await sync_to_async(x.run_now)()``.
        """
        return run_now(type(self), self._encoded(get_process_settings().MAX_ARGUMENTS_BYTES))

    @classmethod
    def check_arguments(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise what :meth:`delay` would raise because of these arguments; store nothing."""
        check_call(cls, args, kwargs)

    @classmethod
    def task_of_schedule(
        cls,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        queue_name: str = "",
        priority: int | None = None,
        tick: datetime | None = None,
    ) -> NewTask:
        """Return a schedule's task, to be stored; with ``tick``, one that is the tick's own."""
        return scheduled_task(
            cls, args, kwargs, queue_name=queue_name, priority=priority, tick=tick
        )

    def as_new_task(self, *, creator: Model | None = None, tags: Sequence[str] = ()) -> NewTask:
        """Return the task that :meth:`delay` would store, as a member of a flow: without a key.

        Raises what :meth:`delay` raises.
        """
        template = template_of(self, creator=creator, tags=tags)
        arguments = self._encoded(get_process_settings().MAX_ARGUMENTS_BYTES)
        return template._replace(arguments=arguments)

    def bind(self, task: ClaimedTask) -> None:
        """Tie the processor to the claimed task that it runs."""
        note(self, "_claimed", task)
        if self._params_model is not None:
            self.read_params(decode_stored(task.arguments))

    def set_task_object(self, task_obj: Task) -> None:
        """Tie the processor to a task's row."""
        note(self, "_task_obj", task_obj)

    @classmethod
    def get_processor_class(cls, processor_name: str) -> type[BaseTaskProcessor]:
        """Return the class of a stored name; raise ProcessorClassNotFound when it is gone."""
        found: type[BaseTaskProcessor] = registry.get_processor_class_by_name(processor_name)
        return found

    @classmethod
    def get_initialized_processor(cls, task_obj: Task) -> BaseTaskProcessor:
        """Return a processor of this class with the task's arguments, bound to the task."""
        arguments = task_obj.arguments
        processor = cls(*arguments.get("args", ()), **arguments.get("kwargs", {}))
        processor.set_task_object(task_obj)
        if cls._params_model is not None:
            processor.read_params(arguments)
        return processor

    def _encoded(self, max_bytes: int) -> str:
        if self._claimed is not None or self._task_obj is not None:
            raise TypeError(
                f"{type(self).__name__} is bound to a task, so it cannot be enqueued or run beside "
                "it; make a new one for that, or raise PostponeTask to run this one again"
            )
        args, kwargs = self._called_with or (self.args, self.kwargs)
        if self._params_model is not None:
            return self._encoded_params(args, kwargs, max_bytes)
        return encode_arguments(args, kwargs, processor=type(self).__name__, max_bytes=max_bytes)

    @classmethod
    def _unique_hash(cls, template: NewTask, arguments: str) -> str:
        if cls.UNIQUE_KEY is None:
            return unique_hash(template, arguments)
        # As they are stored: so a tuple is a list, and whatever counts can be written.
        part = unique_part(cls, *decode_arguments(arguments))
        return unique_hash(template, f"by {encoded(part)}")

    @classmethod
    def _unique_hashes(cls, template: NewTask, arguments: Sequence[str]) -> list[str]:
        if cls.UNIQUE_KEY is None:
            return [unique_hash(template, text) for text in arguments]
        hashes = []
        for place, text in enumerate(arguments):
            try:
                hashes.append(cls._unique_hash(template, text))
            except ValueError as error:
                raise ValueError(f"items[{place}]: {error}") from error
        return hashes

    @classmethod
    def _encoded_items(cls, items: Iterable[Self | Sequence[Any] | BaseModel]) -> list[str]:
        max_bytes = get_process_settings().MAX_ARGUMENTS_BYTES
        name, is_plain = cls.__name__, cls._keeps_arguments_as_they_are()
        texts = []
        for place, item in enumerate(items):
            try:
                if is_plain and isinstance(item, (tuple, list)):
                    text = encode_arguments(tuple(item), {}, processor=name, max_bytes=max_bytes)
                else:
                    text = cls._encoded(cls._made_of(item), max_bytes)
                texts.append(text)
            except InvalidParams as error:
                raise error.at(f"items[{place}]") from None
            except TypeError as error:
                raise TypeError(f"items[{place}]: {error}") from error
            except ValueError as error:
                raise ValueError(f"items[{place}]: {error}") from error
        return texts

    @classmethod
    def _keeps_arguments_as_they_are(cls) -> bool:
        """Say whether making a processor of arguments would neither check nor refuse anything."""
        base = BaseTaskProcessor
        is_plain = cls.__init__ is base.__init__ and cls.__new__ is base.__new__
        return is_plain and cls._params_model is None and not cls.__abstractmethods__

    @classmethod
    def _made_of(cls, item: Self | Sequence[Any] | BaseModel) -> Self:
        if isinstance(item, (tuple, list)):
            return cls(*item)
        if type(item) is cls:
            return item
        if cls._params_model is not None and isinstance(item, cls._params_model):
            return cls(item)
        got = type(item).__name__ if secret_names(cls) else shown(item)
        raise TypeError(
            f"delay_many() of {cls.__name__} takes its own processors and tuples of positional "
            f"arguments, got {got}"
        )


_plain_init = BaseTaskProcessor.__init__
