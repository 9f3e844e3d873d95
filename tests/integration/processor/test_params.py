"""Typed arguments are validated on every way in, before anything is stored, and read again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from pydantic import BaseModel, SecretStr

from django_partisan import execution
from django_partisan.admin.stored import shown_arguments, shown_in_short
from django_partisan.exceptions import InvalidParams, UnreadableParams
from django_partisan.flows import chain, group
from django_partisan.lifecycle import requeue
from django_partisan.lifecycle.instances import claimed_of, instance_of
from django_partisan.models import StoredSchedule, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.app.typed import Invoice
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db

KEY = UUID(int=1)
CUSTOMER = {"key": KEY, "since": datetime(2026, 1, 2, tzinfo=UTC)}
STORED = {"key": str(KEY), "since": "2026-01-02T00:00:00Z"}
RESULT = [f"{KEY.hex} 02.01.2026", "3.00"]


class Secretive(BaseTaskProcessor):
    """Has a secret that its model knows of."""

    SCHEDULABLE = True

    class Params(BaseModel):
        user: str
        password: SecretStr
        at: datetime | None = None

    params: Params

    def run(self) -> Any:
        raise ValueError(f"no {self.params.password.get_secret_value()}")


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> type[Secretive]:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    return registry.register(Secretive)


def invoice(**changes: Any) -> Invoice:
    return Invoice(**{"customer": CUSTOMER, "amount": "1.50", **changes})


def run_next() -> Any:
    [task] = Task.objects.select_for_process(1)
    return task.run()


WAYS_IN: list[Callable[[Any], Any]] = [
    lambda amount: invoice(amount=amount).delay(),
    lambda amount: async_to_sync(invoice(amount=amount).adelay)(),
    lambda amount: Invoice.delay_many([(CUSTOMER, 1), (CUSTOMER, amount)]),
    lambda amount: Invoice.delay_many([invoice(), invoice(amount=amount)]),
    lambda amount: async_to_sync(Invoice.adelay_many)([(CUSTOMER, amount)]),
    lambda amount: invoice(amount=amount).delay(repeat=60),
    lambda amount: invoice(amount=amount).delay(after=[invoice().delay()]),
    lambda amount: chain(invoice(), invoice(amount=amount)).delay(),
    lambda amount: group([invoice(), invoice(amount=amount)]).delay(),
    lambda amount: Invoice.check_arguments((CUSTOMER, amount), {}),
    lambda amount: Invoice.task_of_schedule((CUSTOMER, amount), {}),
    lambda amount: invoice(amount=amount).run_now(),
]


@pytest.mark.parametrize("way", range(len(WAYS_IN)))
def test_every_way_in_refuses_what_params_refuses(way: int) -> None:
    with pytest.raises(InvalidParams, match="Invoice refuses its arguments: amount: "):
        WAYS_IN[way](0)
    assert Task.objects.exclude(arguments__kwargs__amount="1.50").count() == 0
    WAYS_IN[way]("1.50")


def test_a_refusal_among_many_names_the_item() -> None:
    with pytest.raises(InvalidParams, match=r"^items\[1\]: Invoice refuses") as caught:
        Invoice.delay_many([(CUSTOMER, 1), (CUSTOMER, 0)])
    assert caught.value.faults[0][0] == "amount"


def test_arguments_are_stored_as_json_with_their_version_and_read_by_run() -> None:
    task = invoice().delay()
    wanted = {"args": [], "kwargs": {"customer": STORED, "amount": "1.50"}, "version": 2}
    assert task.arguments == wanted
    task.refresh_from_db()
    assert task.arguments == wanted
    assert run_next() == RESULT


def test_a_worker_reads_them() -> None:
    [task] = Invoice.delay_many(
        [Invoice.Params.model_validate({"customer": CUSTOMER, "amount": 3})]
    )
    outcome = execution.execute(claimed_of(task))
    assert outcome.result is not None
    assert json.loads(outcome.result) == [RESULT[0], "6"]


def test_the_row_of_a_claimed_task_has_the_version() -> None:
    task = invoice().delay()
    assert instance_of(claimed_of(task)).arguments == task.arguments


def test_rows_of_an_older_version_are_upgraded_when_they_run() -> None:
    old = {"args": [], "kwargs": {"customer": STORED, "cents": "150"}}
    task = make_task(processor_class=registry.stored_name(Invoice), arguments=old)
    assert run_next() in (RESULT, [RESULT[0], "3.0"])
    task.refresh_from_db()
    assert task.arguments == old


def test_a_row_of_a_newer_version_ends_in_error_and_can_be_retried() -> None:
    new = {"args": [], "kwargs": {"customer": STORED, "amount": "1.50"}, "version": 3}
    task = make_task(processor_class=registry.stored_name(Invoice), arguments=new)
    outcome = execution.execute(claimed_of(task))
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert outcome.error.type == "django_partisan.exceptions.UnreadableParams"
    assert "Deploy the code that stored them" in outcome.error.message
    [claimed] = Task.objects.select_for_process(1)
    with pytest.raises(UnreadableParams) as caught:
        claimed.run()
    claimed.fail(caught.value)
    assert claimed.status == "error"
    assert claimed.arguments == new
    requeue([claimed.pk])
    Task.objects.filter(pk=claimed.pk).update(arguments={**new, "version": 2})
    assert run_next() == RESULT


def test_what_is_alike_is_a_duplicate_whatever_it_was_given_as() -> None:
    first = invoice().delay()
    assert invoice(amount=Decimal("7.00")).delay() == first, "UNIQUE_KEY names the customer only"
    assert Invoice({**CUSTOMER, "key": str(KEY)}, 2).delay() == first
    assert invoice(customer={**CUSTOMER, "key": UUID(int=2)}).delay() != first


def test_another_version_is_another_task_where_all_arguments_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Invoice, "UNIQUE_KEY", None)
    first = invoice().delay()
    assert invoice().delay() == first
    monkeypatch.setattr(Invoice, "SCHEMA_VERSION", 3)
    assert invoice().delay() != first, "the same text may mean something else by now"


def test_a_secret_field_is_masked_wherever_tasks_are_shown(secretive: type[Secretive]) -> None:
    task = secretive("alice", "hunter2").delay()
    assert task.arguments["kwargs"]["password"] == "hunter2"
    assert task.masked_arguments["kwargs"] == {
        "user": "alice",
        "password": "********",
        "at": None,
    }
    assert "hunter2" not in str(shown_arguments(task))
    assert "alice" in shown_in_short([task])[task.pk].arguments
    assert "hunter2" not in shown_in_short([task])[task.pk].arguments


def test_no_error_tells_a_secret_field(
    secretive: type[Secretive], caplog: pytest.LogCaptureFixture
) -> None:
    task = secretive("alice", "hunter2").delay()
    outcome = execution.execute(claimed_of(task))
    assert outcome.error is not None
    assert outcome.error.message == "no ********"
    Task.objects.filter(pk=task.pk).update(
        arguments={"args": [], "kwargs": {"user": ["hunter2"], "password": "hunter2"}}
    )
    task.refresh_from_db()
    outcome = execution.execute(claimed_of(task))
    assert outcome.error is not None
    assert outcome.error.type.endswith("UnreadableParams")
    assert "hunter2" not in "".join(outcome.error)
    assert "hunter2" not in caplog.text


def test_the_arguments_of_a_schedule_are_validated_when_it_is_saved_and_when_it_fires(
    secretive: type[Secretive],
) -> None:
    row = StoredSchedule(
        key="nightly",
        processor_class=registry.stored_name(secretive),
        every_seconds=60,
        kwargs={"user": 5, "password": "hunter2"},
        scheduled_for_kwarg="at",
    )
    with pytest.raises(ValidationError, match="user: ") as caught:
        row.full_clean()
    assert "hunter2" not in str(caught.value)
    row.kwargs = {"user": "alice", "password": "hunter2"}
    row.full_clean()
    row.save()
    task = row.run_now()
    assert task.arguments["kwargs"] == {"user": "alice", "password": "hunter2", "at": None}


def test_a_chain_of_repeats_hands_its_version_on() -> None:
    first = invoice().delay(repeat=timedelta(hours=1))
    [task] = Task.objects.select_for_process(1)
    task.run()
    task.complete()
    [follower] = Task.objects.filter(status="new")
    assert follower.arguments == first.arguments
