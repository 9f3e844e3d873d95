"""Whatever stands in the settings, they can be used, or an error says which of them is wrong."""

from __future__ import annotations

from typing import Any

from django.test import override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_partisan.checks import check_settings, check_unused_settings
from django_partisan.exceptions import ConfigurationError
from django_partisan.settings import (
    FLAT_NAMES,
    PARTISAN_CONFIG,
    PREFIX,
    get_process_settings,
    get_queue_settings,
    unknown_settings,
    validate_settings,
)
from django_partisan.settings.settings_models import ProcessSettings, QueueSettings


class Hostile:
    """Cannot even be asked for its truth."""

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


class Digits(int):
    """More of them than Python writes; it is Hypothesis that wants to."""

    def __repr__(self) -> str:
        return "digits"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=60)
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.timedeltas()
    | st.sampled_from(
        [10**400, Digits(-(10**5000)), "5", "2 s", float("nan"), b"default", Hostile()]
    )
)
hashable = scalars | st.tuples(scalars)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hashable, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(sorted(QueueSettings.model_fields)) | st.text(max_size=20) | hashable
queues = st.dictionaries(keys, st.integers(-1, 100) | anything, max_size=5)
names = st.sampled_from(["default", "mail", "x" * 51, "", "a\0b", "\ud800"]) | hashable
configs = st.dictionaries(names, queues | anything, max_size=3) | anything
fuzz = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzz
@given(config=configs)
@example(config={7: {}, "default": {}})
@example(config={"default": {"SLEEP_DELAY_SECONDS": 10**400}})
@example(config={"default": {7: 1, None: 2}})
@example(config={"default": {"MIN_QUEUE_SIZE": Digits(10**5000)}})
def test_the_queues_are_usable_or_the_error_names_the_key(config: Any) -> None:
    with override_settings(PARTISAN_CONFIG=config):
        found = validate_settings()
        for error in found:
            _assert_named(error)
        check_settings()
        check_unused_settings()
        for name in _names_in(config):
            _look_up(name, has_faults=bool(found))
        _look_up("default", has_faults=bool(found))
        _look_up("no such queue", has_faults=True)


@fuzz
@given(data=st.data())
def test_the_settings_of_a_process_are_usable_or_the_error_names_the_key(data: Any) -> None:
    known = [PREFIX + name for name in ProcessSettings.model_fields]
    given_ = st.dictionaries(
        st.sampled_from([*known, *FLAT_NAMES, "PARTISAN_NO_SUCH"]), anything, max_size=4
    )
    with override_settings(**data.draw(given_)):
        found = validate_settings()
        for error in (*found, *unknown_settings()):
            _assert_named(error)
        check_settings()
        check_unused_settings()
        try:
            assert isinstance(get_process_settings(), ProcessSettings)
        except ConfigurationError as error:
            _assert_named(error)
            assert found
        _look_up("default", has_faults=bool(found))


def _look_up(name: Any, *, has_faults: bool) -> None:
    try:
        assert isinstance(get_queue_settings(name), QueueSettings)
    except ConfigurationError as error:
        _assert_named(error)
        assert has_faults


def _names_in(config: Any) -> list[Any]:
    try:
        names = list(PARTISAN_CONFIG)
        assert len(PARTISAN_CONFIG) == len(names)
        assert all(name in PARTISAN_CONFIG for name in names)
    except ConfigurationError as error:
        _assert_named(error)
        return []
    return names


def _assert_named(error: ConfigurationError) -> None:
    """The error's text begins with the setting, and names the key or the queue."""
    text = str(error)
    assert isinstance(error, ConfigurationError)
    named = [str(error.key), repr(error.queue)]
    assert any(name in text for name in named), text
    assert len(text) < 2000
