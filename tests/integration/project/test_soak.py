"""What a soak looks at in the database shows a lost task, a second end and what is left behind."""

from collections import Counter

import pytest

from django_partisan.models import Task
from tests.app.partisan_tasks import Note
from tests.soak.ends import noting_ends, problems
from tests.soak.load import BLOCK, kind_of
from tools.ledger import Broken, Runs

NUMBERS = [number for number in range(BLOCK) if kind_of(number).name == "Noop"]
ENDED = {"status": "finished", "lease": 1, "attempts": 1}
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


def test_every_end_is_noted_and_outlasts_its_row() -> None:
    first, second, third, *_ = NUMBERS
    lost = {Broken.LOST: third + 1 - 3}
    with noting_ends(), Runs.create(BLOCK) as runs:
        tasks = [Note(number).delay().pk for number in (first, second, third)]
        for number in (first, second, third):
            runs.count(number)
        last = Task.objects.get(pk=tasks.pop())
        last.attempt_set.create(number=1, lease=1, outcome="failed")
        Task.objects.filter(pk__in=tasks).update(**ENDED)
        Task.objects.filter(pk__in=tasks).delete()
        statuses, found = problems(runs, third + 1)
        assert statuses == {"finished": 2}
        broken = {Broken.STUCK: 1, Broken.COUNTED_WRONG: 1}
        assert Counter(kind for kind, _ in found) == {**lost, **broken}
        Task.objects.filter(pk=last.pk).update(**ENDED)
        Task.objects.filter(pk=last.pk).update(lease=2)  # a write to a task that has ended
        Task.objects.filter(pk=last.pk)._raw_delete(using="default")  # as nobody should
        _, found = problems(runs, third + 1)
        assert Counter(kind for kind, _ in found) == {**lost, Broken.STALE: 1, Broken.LEFT: 1}
