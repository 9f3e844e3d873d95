"""`.run_now()` and the database: nothing is stored, and ATOMIC is a transaction."""

from __future__ import annotations

import pytest
from django.db import transaction

from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger
from tests.support.processors import Unique

pytestmark = pytest.mark.django_db(transaction=True)


class WriteAndFail(BaseTaskProcessor):
    def run(self) -> None:
        Ledger.objects.create(task_id=self.args[0])
        raise ValueError("after the first half")


class WriteAndFailAtomically(WriteAndFail):
    ATOMIC = True


class IsInTransaction(BaseTaskProcessor):
    ATOMIC = True

    def run(self) -> bool:
        return bool(transaction.get_connection().in_atomic_block)


def test_nothing_is_stored_and_a_duplicate_that_waits_is_in_nobodys_way() -> None:
    waiting = Unique(1).delay()
    assert Unique(1).run_now() == [[1], {}]
    assert list(Task.objects.values_list("pk", "status")) == [(waiting.pk, "new")]


def test_what_an_atomic_processor_has_done_is_rolled_back_with_its_error() -> None:
    for processor in (WriteAndFail(1), WriteAndFailAtomically(2)):
        with pytest.raises(ValueError, match="first half"):
            processor.run_now()
    assert list(Ledger.objects.values_list("task_id", flat=True)) == [1]


def test_an_atomic_processor_runs_in_a_transaction_and_ends_it() -> None:
    assert IsInTransaction().run_now() is True
    assert not transaction.get_connection().in_atomic_block
