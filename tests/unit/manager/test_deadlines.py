from django_partisan.config.const import NEVER
from django_partisan.manager.deadlines import Deadlines
from django_partisan.manager.local_queue import LocalQueue
from tests.support.claimed_tasks import claimed_task


def test_without_a_task_there_is_no_deadline() -> None:
    deadlines = Deadlines()
    assert deadlines.next() == NEVER
    assert deadlines.passed(1e9) == {}


def test_what_has_passed_is_told_once_with_its_lease() -> None:
    deadlines = Deadlines()
    for number, moment in ((1, 30.0), (2, 10.0), (3, 20.0)):
        deadlines.add(claimed_task(number)._replace(starts_by=moment, lease=number + 6))
    assert deadlines.next() == 10
    assert deadlines.passed(20) == {2: 8, 3: 9}
    assert deadlines.next() == 30


def test_it_forgets_what_is_held_no_more_once_that_is_much() -> None:
    deadlines = Deadlines()
    for number in range(1_100):
        deadlines.add(claimed_task(number)._replace(starts_by=float(number)))
    assert not deadlines.is_too_long(held=50)
    assert deadlines.is_too_long(held=49)
    deadlines.keep({7, 5})
    assert len(deadlines) == 2
    assert deadlines.passed(6).keys() == {5}
    assert deadlines.next() == 7


def test_a_local_queue_remembers_the_deadlines_of_all_that_has_been_there() -> None:
    queue = LocalQueue()
    queue.put([claimed_task(1)._replace(starts_by=5.0), claimed_task(2)], now=0)
    queue.put_first([claimed_task(3)._replace(starts_by=4.0)])
    queue.take_all()
    assert queue.deadlines.passed(10).keys() == {1, 3}
