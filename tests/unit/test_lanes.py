from django_partisan.database.values import Lane, LaneSurvey
from django_partisan.manager.claiming.cursors import Lanes
from tests.unit.tasks import claimed_task


def found(priority: int, due: int = 0) -> LaneSurvey:
    return LaneSurvey(Lane(priority, due), has_due=True, next_due_in=None)


def test_lanes_come_in_the_order_of_their_priority_whatever_was_found_first() -> None:
    lanes = Lanes()
    lanes.surveyed([found(5), found(-1)], 0, 0)
    lanes.claimed([claimed_task(9, priority=3, due=7)])
    assert [lane.priority for lane in lanes.current()] == [-1, 3, 5]


def test_a_claim_moves_the_cursor_to_its_last_task() -> None:
    lanes = Lanes()
    lanes.surveyed([found(10)], 0, 0)
    lanes.claimed([claimed_task(3, due=100), claimed_task(4, due=100)])
    assert lanes.current() == [Lane(10, 100, 4)]


def test_a_survey_sets_the_cursors_anew_also_backwards() -> None:
    lanes = Lanes()
    lanes.claimed([claimed_task(4, due=100)])
    lanes.surveyed([found(10, due=50)], 0, 0)
    assert lanes.current() == [Lane(10, 50, 0)]


def test_where_tasks_have_no_place_in_numbers_there_is_no_cursor() -> None:
    lanes = Lanes()
    lanes.surveyed([LaneSurvey(Lane(10), has_due=True, next_due_in=None)], 0, 0)
    lanes.claimed([claimed_task(4, due="2026-01-01 00:00:00")])
    assert lanes.current() == [Lane(10)]


def test_a_slow_survey_is_repeated_only_when_it_keeps_to_its_share_of_the_time() -> None:
    lanes = Lanes()
    lanes.surveyed([found(10)], started=10.0, ended=10.2)
    assert not lanes.may_survey(13.9)
    assert lanes.may_survey(14.0)
    assert not lanes.is_survey_due(13.9)
    assert lanes.is_survey_due(14.0)


def test_a_busy_manager_surveys_four_times_a_second_when_that_is_cheap() -> None:
    lanes = Lanes()
    lanes.surveyed([found(10)], started=10.0, ended=10.0)
    assert lanes.may_survey(10.0)
    assert not lanes.is_survey_due(10.2)
    assert lanes.is_survey_due(10.25)


def test_without_a_lane_a_survey_is_due_and_forgetting_allows_it_at_once() -> None:
    lanes = Lanes()
    assert lanes.is_survey_due(0)
    lanes.surveyed([], started=10.0, ended=20.0)
    lanes.forget()
    assert lanes.may_survey(20.0)
    assert len(lanes) == 0


def test_a_lane_that_is_empty_now_is_remembered_with_its_cursor() -> None:
    lanes = Lanes()
    lanes.claimed([claimed_task(4, priority=10, due=100)])
    lanes.surveyed([found(1, due=7)], 0, 0)
    assert lanes.current() == [Lane(1, 7), Lane(10, 100, 4)]


def test_no_more_lanes_are_remembered_than_a_survey_finds() -> None:
    lanes = Lanes()
    for priority in range(1000):
        lanes.surveyed([found(priority)], 0, 0)
    assert len(lanes) <= 100
