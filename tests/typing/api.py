"""The public surface as a project uses it, for the type checker: `make types` reads this file.

It is never run. What is written here must keep its types; what is wrong on purpose says so by a
``type: ignore`` that mypy would call unused once it is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_type

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.dispatch import receiver
from django.utils import timezone
from pydantic import BaseModel

from django_partisan import registry
from django_partisan.apps import PartisanConfig
from django_partisan.attempt import ErrorReport
from django_partisan.config import const
from django_partisan.config.const import ExitCode
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.control import pause, pauses, resume
from django_partisan.exceptions import (
    CancelTask,
    FailTask,
    InvalidParams,
    PartisanException,
    PostponeTask,
    TaskTimedOut,
    UnreadableParams,
)
from django_partisan.flows import Flow, chain, group
from django_partisan.lifecycle import requeue
from django_partisan.logs import JsonFormatter
from django_partisan.manager import WorkersManager
from django_partisan.models import (
    Attempt,
    ManagerProcess,
    Pause,
    StoredSchedule,
    Task,
    TaskProgress,
)
from django_partisan.processor import BaseTaskProcessor, IterationProcessor, processor
from django_partisan.schedules import Schedule
from django_partisan.settings import PARTISAN_CONFIG, QueueSettings, get_queue_settings
from django_partisan.signals import (
    PartisanSignal,
    manager_started,
    manager_stopped,
    task_cancelled,
    task_enqueued,
    task_failed,
    task_finished,
    task_postponed,
    task_rescued,
    task_retried,
    task_started,
    worker_died,
)


@registry.register
class SendInvoice(BaseTaskProcessor):
    """A processor with every attribute set."""

    PRIORITY = 5
    QUEUE_NAME = "default"
    UNIQUE_FOR_PARAMS = True
    UNIQUE_UNTIL = "finish"
    ON_DUPLICATE = "earlier"
    UNIQUE_KEY = ("number", "0")
    UNIQUE_FOR_SECONDS = 60
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(OSError,),
        retries_count=3,
        retry_pause=5,
        retry_pause_strategy=const.DELAY_STRATEGY_EXPONENTIAL,
    )
    POSTPONE_CONFIG = PostponeConfig(max_postpones=2)
    SENSITIVE_PARAMS = ("card.number",)
    ATOMIC = True
    CAPTURE_OUTPUT = False
    TIMEOUT_SECONDS = 30.0
    GRACE_SECONDS = 2.0
    EXPIRES_SECONDS = 600.0
    ALIASES = ("shop.tasks.Invoice",)
    SCHEDULABLE = True
    SCHEDULES = (
        Schedule("30 8 * * *", args=(1,), kwargs={"a": 2}, name="daily", timezone="Europe/Paris"),
        Schedule(every=timedelta(minutes=5), catch_up="all", max_catch_up=5, priority=3),
        Schedule(manual=True, name="by hand", scheduled_for_kwarg="at", queue_name="default"),
        Schedule("H * * * * 30", name="hourly", catch_up=False, run_on_creation=True),
    )

    def run(self) -> dict[str, int]:
        """Ask for later, give up, or return a result."""
        if self.task_obj is None:
            raise FailTask("not inside a task")
        if self.task_obj.retries:
            raise PostponeTask(postpone_for_seconds=5)
        if not self.args:
            raise CancelTask("nothing to do")
        return {"sent": int(self.kwargs["number"])}


class Fetch(BaseTaskProcessor):
    """A processor that says itself how long its retries wait."""

    def run(self) -> None:
        """Do nothing but log."""
        self.logger.info("fetching %s", self.args[0], extra={"from": "there"})

    def retry_delay(self, error: OSError, attempt: int) -> timedelta | None:
        """Wait a minute more each time."""
        return timedelta(minutes=attempt) if error.errno else None


def reading(task: Task, attempt: Attempt) -> str:
    """Read what was printed."""
    for text in task.follow_log():
        assert_type(text, str)
    return task.log + attempt.log


class Index(BaseTaskProcessor):
    """A debounced processor."""

    DEBOUNCE_SECONDS = 0.5
    DEBOUNCE_MAX_SECONDS = 5

    def run(self) -> None:
        """Do nothing."""


class Charge(BaseTaskProcessor):
    """A processor with typed arguments, of its second version."""

    SCHEMA_VERSION = 2

    class Params(BaseModel):
        """What it takes."""

        amount: int
        at: datetime | None = None

    params: Params

    @classmethod
    def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
        """Take amounts of the first version, which were text."""
        return {**data, "amount": int(data["amount"])}

    def run(self) -> None:
        """Read the arguments by their types."""
        assert_type(self.params.amount, int)
        assert_type(self.params.at, datetime | None)


def _charge() -> None:
    try:
        Charge(5, at=timezone.now()).delay()
        Charge.delay_many([Charge.Params(amount=5), (5,)])
    except InvalidParams as error:
        assert_type(error.faults, tuple[tuple[str, str], ...])
    except UnreadableParams as error:
        assert_type(error.version, int)


@processor
def weigh(number: int, *, unit: str = "kg") -> float:
    """A function that is a processor."""
    return float(number) if unit else 0.0


@processor(
    queue_name="default",
    priority=3,
    unique_key=("path",),
    on_duplicate="earlier",
    retry_on_error_config=SendInvoice.RETRY_ON_ERROR_CONFIG,
    timeout_seconds=10,
    sensitive_params=["path"],
    schedules=[Schedule("0 0 * * *", args=("/tmp",))],
)
def tidy(path: str) -> None:
    """One with options."""


class Order(Model):
    """A model with a method that is a processor."""

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return "an order"

    @processor(priority=3)
    def send(self, address: str, *, copies: int = 1) -> int:
        """Send it."""
        return len(address) * copies


def calling_methods(order: Order) -> QuerySet[Task]:
    """Call, enqueue and run a method, and look at what became of its object."""
    assert_type(order.send("home", copies=2), int)
    assert_type(order.send.run_now("home"), int)
    assert_type(order.send.delay("home"), Task)
    assert_type(order.send.options(priority=1).delay("home", copies=2), Task)
    assert_type(order.send.delay_many([("home",), ("shop",)]), list[Task])
    assert_type(Order.send.delay(order, "home"), Task)
    assert_type(order.send.step("home", copies=2), BaseTaskProcessor)
    assert_type(Order.send.step(order, "home"), BaseTaskProcessor)
    order.send.step(3)  # type: ignore[arg-type]
    assert_type(Order.send.delay_many([(order, "home")]), list[Task])
    assert_type(Order.send.processor, type[BaseTaskProcessor])
    order.send(3)  # type: ignore[arg-type]
    order.send.delay(3)  # type: ignore[arg-type]
    order.send.delay("home", priority=3)  # type: ignore[call-arg]
    Order.send.delay("home")  # type: ignore[call-arg, arg-type]
    return Task.objects.for_object(order)


def calling_functions() -> list[Task]:
    """Call, enqueue and run a function, with its own types."""
    assert_type(weigh(1, unit="g"), float)
    assert_type(weigh.run_now(1), float)
    assert_type(weigh.processor, type[BaseTaskProcessor])
    weigh("1")  # type: ignore[arg-type]
    weigh.delay("1")  # type: ignore[arg-type]
    weigh.delay(1, priority=3)  # type: ignore[call-arg]
    weigh.options(priority="high")  # type: ignore[arg-type]
    weigh.options(urgency=1)  # type: ignore[call-arg]
    weigh.options(priority=1).delay("1")  # type: ignore[arg-type]
    processor(urgency=1)  # type: ignore[call-overload]
    pause(processor=weigh)
    assert_type(weigh.step(1, unit="g"), BaseTaskProcessor)
    weigh.step("1")  # type: ignore[arg-type]
    assert_type(chain(weigh.step(1), group(weigh.step(n) for n in range(3))).delay(), Flow)
    labelled = chain(weigh.step(1)).delay(name="one", creator=User(), tags=["mail"])
    labelled.add(weigh.step(2), creator=User(), tags=("mail",))
    chain(weigh.step(1)).delay(tags=17)  # type: ignore[arg-type]
    labelled.add(weigh.step(2), urgency=1)  # type: ignore[call-arg]
    later = tidy.options(execute_after=timedelta(hours=1), repeat=const.DAILY)
    assert_type(later.delay("/tmp"), Task)
    return [weigh.delay(1, unit="g"), *later.delay_many([("/",)]), *weigh.delay_many([(1,)])]


def enqueueing() -> list[Task]:
    """Enqueue one task and many."""
    task = SendInvoice(17, number=4).delay(priority=3, execute_after=timedelta(minutes=5))
    SendInvoice(17).delay(execute_after=timezone.now())
    SendInvoice(17).delay(execute_after=30, expires=timedelta(minutes=2))
    SendInvoice(17).delay(verbose_name="Invoice 17", creator=User(), tags=["mail", "vip"])
    SendInvoice(17).delay(creator="ada")  # type: ignore[arg-type]
    SendInvoice(17).delay(urgency=1)  # type: ignore[call-arg]
    SendInvoice(17).delay(repeat=const.EVERY_4_WEEKS, repeat_until=timezone.now())
    many = SendInvoice.delay_many([(1,), SendInvoice(2)], priority=1, repeat=timedelta(days=1))
    assert_type(many, list[Task])
    assert_type(SendInvoice(17, number=4).run_now(), Any)
    return [task, *many]


async def enqueueing_asynchronously() -> list[Task]:
    """Enqueue one task and many, from asynchronous code."""
    task = await SendInvoice(17, number=4).adelay(priority=3, execute_after=timedelta(minutes=5))
    assert_type(task, Task)
    await SendInvoice(17).adelay(urgency=1)  # type: ignore[call-arg]
    await SendInvoice(17).adelay(priority="high")  # type: ignore[arg-type]
    many = await SendInvoice.adelay_many([(1,), SendInvoice(2)], expires=60)
    assert_type(many, list[Task])
    await SendInvoice.adelay_many([(1,)], urgency=1)  # type: ignore[call-arg]
    assert_type(await weigh.adelay(1, unit="g"), Task)
    assert_type(await weigh.options(priority=1).adelay(1), Task)
    assert_type(await weigh.adelay_many([(1,)]), list[Task])
    assert_type(await Order().send.options(tags=["mail"]).adelay("home", copies=2), Task)
    await weigh.adelay("1")  # type: ignore[arg-type]
    await weigh.options(priority=1).adelay(1, priority=2)  # type: ignore[call-arg]
    return [task, *many]


class Walk(IterationProcessor):
    """Goes through query sets, in transactions."""

    EACH_ATOMIC = True
    COUNT = True
    MAX_RUNTIME_SECONDS = None

    def items(self, cursor: int | None) -> QuerySet[Attempt]:
        return Attempt.objects.all()

    def each(self, item: Attempt) -> None:
        item.refresh_from_db()

    def throttle(self) -> timedelta | None:
        return timedelta(seconds=30)


def looking(task: Task) -> tuple[bool, datetime | None, QuerySet[Attempt, Attempt]]:
    """Read a task and change its fate."""
    assert_type(task.status == Task.STATUS_FINISHED, bool)
    assert_type(requeue([task.pk]), list[int])
    assert_type(task.settings, QueueSettings)
    assert_type(task.creator, Model | None)
    assert_type(task.verbose_name, str | None)
    assert_type(task.progress, TaskProgress | None)
    bound = SendInvoice()
    assert_type(bound.progress(1, 2.5, "half"), None)
    assert_type(bound.checkpoint({"page": 1}, durable=True), None)
    found = Task.objects.tagged("mail", "vip").created_by(User())
    assert_type(found.first(), Task | None)
    assert_type(ManagerProcess.objects.first(), ManagerProcess | None)
    return task.cancel(), task.finished_at, task.attempt_set.all()


def by_hand() -> None:
    """Take and end tasks as with 1.6.1."""
    for task in Task.objects.select_for_process(10, "default"):
        try:
            task.run()
        except TaskTimedOut as error:
            task.fail(error)
        else:
            task.complete()
    assert_type(Task.objects.reset_tasks_to_initial_status(), int)


def serving() -> ExitCode:
    """Serve a queue."""
    configured: Mapping[str, QueueSettings] = PARTISAN_CONFIG
    assert_type(get_queue_settings("default").WORKERS_COUNT, int)
    try:
        return WorkersManager(queue_name=next(iter(configured)), workers_count=2).run_partisan()
    except PartisanException:
        return ExitCode.ERROR


formatter: JsonFormatter = JsonFormatter()
app: type[PartisanConfig] = PartisanConfig
stored: Any = SendInvoice.get_processor_class("shop.tasks.SendInvoice")


def look_after_schedules() -> None:
    """Pause, resume, run and look ahead."""
    schedule = StoredSchedule.objects.get(key="daily")
    schedule.pause()
    schedule.pause(until=timezone.now(), reason="holidays", by="ada")
    schedule.pause(timedelta(days=7))
    schedule.resume()
    assert_type(schedule.run_now(), Task)
    assert_type(schedule.next_runs(5), list[datetime])


def pause_and_resume() -> None:
    """Stop the starts of a queue, of a processor, and go on."""
    row = pause(queue_name="mail", until=timedelta(hours=2), reason="the relay is down", by="ann")
    assert_type(row, Pause)
    pause(processor=SendInvoice)
    assert_type(resume(processor="shop.tasks.SendInvoice"), bool)
    assert_type(pauses(), list[Pause])
    pause("mail")  # type: ignore[call-arg]


@receiver([task_failed, task_retried], sender=SendInvoice)
def complain(sender: type[SendInvoice], task: Task, error: ErrorReport, **kwargs: Any) -> None:
    """Hear of errors."""
    SendInvoice(error.type, error.message, error.traceback, number=task.pk).delay()


@receiver([task_enqueued, task_started, task_finished, task_postponed])
def count(signal: PartisanSignal, task: Task, **kwargs: Any) -> None:
    """Hear of tasks."""
    assert_type(signal.name, str)


@receiver([task_cancelled, task_rescued])
def explain(task: Task, reason: str, **kwargs: Any) -> None:
    """Hear of a reason."""


@receiver(worker_died)
def mourn(task: Task | None, pid: int | None, reason: str, **kwargs: Any) -> None:
    """Hear of a worker's death."""


@receiver(manager_stopped)
def note_end(manager: ManagerProcess, exit_code: ExitCode, **kwargs: Any) -> None:
    """Hear of a manager's end."""


manager_started.connect(note_end, sender=None, weak=False, dispatch_uid="note")
