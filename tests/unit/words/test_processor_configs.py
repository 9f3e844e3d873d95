"""The two configs that users write on a processor."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config import const
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig


def config(**changes: Any) -> ErrorsHandleConfig:
    given = {"retry_on_errors": [OSError], "retries_count": 3, "retry_pause": 3, **changes}
    return ErrorsHandleConfig(**given)


def pauses(handled: ErrorsHandleConfig) -> list[float]:
    return [handled.get_pause_seconds(try_num) for try_num in (1, 2, 3)]


def test_the_pause_is_constant_unless_said_otherwise() -> None:
    assert pauses(config()) == [3, 3, 3]


def test_the_incremental_strategy_waits_3_6_9_seconds_as_documented() -> None:
    assert pauses(config(retry_pause_strategy=const.DELAY_STRATEGY_INCREMENTAL)) == [3, 6, 9]


def test_the_exponential_strategy_doubles() -> None:
    assert pauses(config(retry_pause_strategy=const.DELAY_STRATEGY_EXPONENTIAL)) == [3, 6, 12]


def test_max_pause_caps_the_growth() -> None:
    handled = config(retry_pause_strategy=const.DELAY_STRATEGY_EXPONENTIAL, max_pause=5)
    assert pauses(handled) == [3, 5, 5]


def test_jitter_shortens_a_pause_by_up_to_its_part() -> None:
    handled = config(jitter=0.5)
    assert handled.get_pause_seconds(1, random=lambda: 1.0) == 1.5
    assert handled.get_pause_seconds(1, random=lambda: 0.0) == 3
    assert all(1.5 <= handled.get_pause_seconds(1) <= 3 for _ in range(100))


@pytest.mark.parametrize("strategy", const.DELAY_STRATEGIES)
def test_no_try_is_so_late_that_its_moment_cannot_be_computed(strategy: Any) -> None:
    handled = config(
        retries_count=None, retry_pause=MAX_PAUSE_SECONDS, retry_pause_strategy=strategy
    )
    assert handled.get_new_datetime_for_retry(10**30) > datetime.now(UTC)


def test_as_many_retries_as_configured_are_allowed() -> None:
    handled = config(retries_count=2)
    assert [handled.should_be_retried(try_num) for try_num in (1, 2, 3)] == [True, True, False]


def test_no_count_means_retrying_for_ever() -> None:
    assert config(retries_count=None).should_be_retried(10**9)


def test_the_old_spelling_still_works() -> None:
    assert config().shoud_be_retried(3)
    assert not config().shoud_be_retried(4)


def test_the_moment_of_a_retry_is_aware_and_a_pause_away() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert config().get_new_datetime_for_retry(1, noon) == noon + timedelta(seconds=3)
    assert config().get_new_datetime_for_retry(1).utcoffset() is not None


def test_a_retry_too_many_has_no_moment() -> None:
    with pytest.raises(RuntimeError, match="Retry 4"):
        config().get_new_datetime_for_retry(4)


def test_subclasses_of_a_listed_error_match_and_others_do_not() -> None:
    assert config().matches(TimeoutError())
    assert not config().matches(ValueError())
    assert not config(retry_on_errors=[Exception]).matches(KeyboardInterrupt())


def test_never_retry_wins_over_retry_on_errors() -> None:
    handled = config(never_retry=[FileNotFoundError])
    assert handled.matches(TimeoutError())
    assert not handled.matches(FileNotFoundError())


@pytest.mark.parametrize("errors", [[OSError], (OSError,), {OSError}])
def test_the_errors_may_come_in_any_collection(errors: Any) -> None:
    assert config(retry_on_errors=errors).retry_on_errors == (OSError,)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"retry_on_errors": []}, "at least one exception class"),
        ({"retry_on_errors": OSError}, "must be a list of exception classes"),
        ({"retry_on_errors": "OSError"}, "must be a list of exception classes"),
        ({"retry_on_errors": ["OSError"]}, "subclasses of Exception only, got 'OSError'"),
        ({"retry_on_errors": [KeyboardInterrupt]}, "subclasses of Exception only"),
        ({"retry_on_errors": [OSError()]}, "subclasses of Exception only"),
        ({"retries_count": 0}, "retries_count"),
        ({"retries_count": True}, "retries_count"),
        ({"retries_count": "3"}, "retries_count"),
        ({"retry_pause": -1}, "retry_pause"),
        ({"retry_pause": float("inf")}, "retry_pause"),
        ({"retry_pause_strategy": "X"}, "DELAY_STRATEGY_EXPONENTIAL"),
        ({"max_pause": -1}, "max_pause"),
        ({"jitter": 1.1}, "jitter"),
        ({"never_retry": [int]}, "never_retry"),
        ({"never_retry": [Exception]}, "leaves nothing"),
        ({"retry_count": 3}, "retry_count"),
    ],
)
def test_a_wrong_value_is_a_value_error_naming_its_field(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        config(**changes)


def test_a_config_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().retries_count = 9  # type: ignore[misc]


@pytest.mark.parametrize("allowed", [0, 5, None])
def test_max_postpones_may_be_zero_a_number_or_none(allowed: int | None) -> None:
    assert PostponeConfig(max_postpones=allowed).max_postpones == allowed


@pytest.mark.parametrize("wrong", [-1, True, "5", 1.5])
def test_another_max_postpones_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_postpones"):
        PostponeConfig(max_postpones=wrong)
