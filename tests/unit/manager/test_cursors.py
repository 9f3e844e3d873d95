from django_partisan.database.values import Claimed, Cursor, Surveyed
from django_partisan.manager.claiming.cursors import Cursors
from tests.support.claimed_tasks import claimed_task


def found(priority: int, due: int = 0) -> Surveyed:
    return Surveyed(Cursor(priority, due), has_due=True, next_due_in=None)


def test_cursors_come_in_the_order_of_their_priority_whatever_was_found_first() -> None:
    cursors = Cursors()
    cursors.surveyed([found(5), found(-1)], 0, 0)
    cursors.claimed(Claimed([claimed_task(9, priority=3, due=7)]))
    assert [each.priority for each in cursors.current()] == [-1, 3, 5]


def test_a_claim_moves_the_cursor_to_its_last_task() -> None:
    cursors = Cursors()
    cursors.surveyed([found(10)], 0, 0)
    cursors.claimed(Claimed([claimed_task(3, due=100), claimed_task(4, due=100)]))
    assert cursors.current() == [Cursor(10, 100, 4)]


def test_a_survey_sets_the_cursors_anew_also_backwards() -> None:
    cursors = Cursors()
    cursors.claimed(Claimed([claimed_task(4, due=100)]))
    cursors.surveyed([found(10, due=50)], 0, 0)
    assert cursors.current() == [Cursor(10, 50, 0)]


def test_where_tasks_have_no_place_in_numbers_there_is_no_cursor() -> None:
    cursors = Cursors()
    cursors.surveyed([Surveyed(Cursor(10), has_due=True, next_due_in=None)], 0, 0)
    cursors.claimed(Claimed([claimed_task(4, due="2026-01-01 00:00:00")]))
    assert cursors.current() == [Cursor(10)]


def test_a_slow_survey_is_repeated_only_when_it_keeps_to_its_share_of_the_time() -> None:
    cursors = Cursors()
    cursors.surveyed([found(10)], started=10.0, ended=10.2)
    assert not cursors.may_survey(13.9)
    assert cursors.may_survey(14.0)
    assert not cursors.is_survey_due(13.9)
    assert cursors.is_survey_due(14.0)


def test_a_busy_manager_surveys_four_times_a_second_when_that_is_cheap() -> None:
    cursors = Cursors()
    cursors.surveyed([found(10)], started=10.0, ended=10.0)
    assert cursors.may_survey(10.0)
    assert not cursors.is_survey_due(10.2)
    assert cursors.is_survey_due(10.25)


def test_without_a_priority_a_survey_is_due_and_forgetting_allows_it_at_once() -> None:
    cursors = Cursors()
    assert cursors.is_survey_due(0)
    cursors.surveyed([], started=10.0, ended=20.0)
    cursors.forget()
    assert cursors.may_survey(20.0)
    assert len(cursors) == 0


def test_a_priority_that_is_empty_now_is_remembered_with_its_cursor() -> None:
    cursors = Cursors()
    cursors.claimed(Claimed([claimed_task(4, priority=10, due=100)]))
    cursors.surveyed([found(1, due=7)], 0, 0)
    assert cursors.current() == [Cursor(1, 7), Cursor(10, 100, 4)]


def test_no_more_cursors_are_remembered_than_a_survey_finds() -> None:
    cursors = Cursors()
    for priority in range(1000):
        cursors.surveyed([found(priority)], 0, 0)
    assert len(cursors) <= 100
