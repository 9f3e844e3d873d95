"""Where settings come from, what they may hold, what is said when they may not."""

import os
import re
from typing import Any

import pytest
from django.test import override_settings
from pydantic import BaseModel

from django_partisan import settings as partisan
from django_partisan.exceptions import ConfigurationError, UnknownQueue
from django_partisan.settings import (
    PARTISAN_CONFIG,
    ProcessSettings,
    QueueSettings,
    get_process_settings,
    get_queue_settings,
    merge_overrides,
    unknown_settings,
    validate_settings,
)
from tests.settings import ROOT

REFERENCE = ROOT / "docs" / "reference" / "settings.rst"


def message_of(queue_name: str = "mail") -> str:
    with pytest.raises(ConfigurationError) as raised:
        get_queue_settings(queue_name)
    return str(raised.value)


# --- where a value comes from


def test_the_default_queue_exists_without_any_setting() -> None:
    assert list(PARTISAN_CONFIG) == ["default"]
    assert get_queue_settings() == QueueSettings()


def test_the_default_queue_exists_beside_others(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}}
    assert set(PARTISAN_CONFIG) == {"default", "mail"}
    assert len(PARTISAN_CONFIG) == 2
    assert PARTISAN_CONFIG["mail"] == QueueSettings()


def test_the_order_is_command_line_then_queue_then_flat_then_default(settings: Any) -> None:
    assert merge_overrides("default").SLEEP_DELAY_SECONDS == 2
    settings.SLEEP_DELAY_SECONDS = 3
    assert merge_overrides("default").SLEEP_DELAY_SECONDS == 3
    settings.PARTISAN_CONFIG = {"default": {"SLEEP_DELAY_SECONDS": 4}}
    assert merge_overrides("default").SLEEP_DELAY_SECONDS == 4
    assert merge_overrides("default", sleep_delay_seconds=5).SLEEP_DELAY_SECONDS == 5


def test_a_flat_setting_applies_to_every_queue(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}}
    settings.WORKERS_COUNT = 7
    assert get_queue_settings("default").WORKERS_COUNT == 7
    assert get_queue_settings("mail").WORKERS_COUNT == 7


@pytest.mark.parametrize("name", partisan.FLAT_NAMES)
def test_each_of_the_nine_old_names_works_flat(settings: Any, name: str) -> None:
    value = True if name == "DELETE_TASKS_ON_COMPLETE" else 60
    setattr(settings, name, value)
    assert getattr(get_queue_settings(), name) == value


def test_a_newer_name_does_not_work_flat(settings: Any) -> None:
    settings.WORKER_MAX_MEMORY_MB = 100
    assert get_queue_settings().WORKER_MAX_MEMORY_MB is None


def test_an_option_not_given_on_the_command_line_changes_nothing() -> None:
    assert merge_overrides("default", min_queue_size=None) == get_queue_settings()


def test_a_zero_on_the_command_line_counts() -> None:
    assert merge_overrides("default", min_queue_size=0).MIN_QUEUE_SIZE == 0


def test_a_changed_setting_is_seen_at_once_and_so_is_its_end() -> None:
    changes = {
        "PARTISAN_CONFIG": {"default": {"WORKERS_COUNT": 77}},
        "PARTISAN_HEARTBEAT_SECONDS": 1,
    }
    assert get_queue_settings().WORKERS_COUNT != 77
    with override_settings(**changes):
        assert get_queue_settings().WORKERS_COUNT == 77
        assert get_process_settings().HEARTBEAT_SECONDS == 1
    assert get_queue_settings().WORKERS_COUNT != 77
    assert get_process_settings().HEARTBEAT_SECONDS == 5


def test_settings_that_did_not_change_are_the_same_object() -> None:
    assert get_queue_settings() is get_queue_settings()
    assert get_process_settings() is get_process_settings()


def test_the_default_number_of_workers_is_the_number_of_usable_cpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    assert QueueSettings().WORKERS_COUNT == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert QueueSettings().WORKERS_COUNT == 1


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, (700, 1000)),
        ({"MAX_QUEUE_SIZE": 10}, (5, 10)),
        ({"MAX_QUEUE_SIZE": 1}, (0, 1)),
        ({"MAX_QUEUE_SIZE": 2000}, (700, 2000)),
        ({"MIN_QUEUE_SIZE": 10}, (10, 1000)),
        ({"MIN_QUEUE_SIZE": 600}, (600, 1200)),
        ({"MIN_QUEUE_SIZE": 0, "MAX_QUEUE_SIZE": 1}, (0, 1)),
        ({"MIN_QUEUE_SIZE": 5, "MAX_QUEUE_SIZE": 5}, (5, 5)),
    ],
)
def test_one_queue_size_alone_makes_the_other_one_fit(
    settings: Any, given: Any, sizes: tuple[int, int]
) -> None:
    settings.PARTISAN_CONFIG = {"default": given}
    built = get_queue_settings()
    assert sizes == (built.MIN_QUEUE_SIZE, built.MAX_QUEUE_SIZE)
    assert merge_overrides("default", **given) == built
    assert built.has_given_sizes == bool(given)


# --- the mapping


def test_the_mapping_knows_its_queues_as_a_dict_does() -> None:
    assert "default" in PARTISAN_CONFIG
    assert "mail" not in PARTISAN_CONFIG
    assert PARTISAN_CONFIG.get("mail") is None
    with pytest.raises(KeyError):
        PARTISAN_CONFIG["mail"]
    assert repr(PARTISAN_CONFIG) == "<PARTISAN_CONFIG of queues 'default'>"


def test_neither_the_mapping_nor_a_queues_settings_can_be_changed() -> None:
    with pytest.raises(TypeError):
        PARTISAN_CONFIG["mail"] = QueueSettings()  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        get_queue_settings().WORKERS_COUNT = 3  # type: ignore[misc]


def test_an_unknown_queue_is_an_error_that_lists_the_known_ones(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}, "maps": {}}
    with pytest.raises(UnknownQueue) as raised:
        get_queue_settings("mial")
    assert raised.value.queue == "mial"
    assert str(raised.value) == (
        "Queue 'mial' is not in PARTISAN_CONFIG; did you mean 'mail'? "
        "Known queues: default, mail, maps."
    )
    assert "did you mean" not in message_of("zzz")


# --- what a value may be


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("MIN_QUEUE_SIZE", "5", "must be a whole number, got '5' (str)"),
        ("MIN_QUEUE_SIZE", 5.0, "must be a whole number, got 5.0 (float)"),
        ("MIN_QUEUE_SIZE", True, "must be a whole number, got True (bool)"),
        ("MIN_QUEUE_SIZE", None, "must be a whole number, got None (NoneType)"),
        ("MIN_QUEUE_SIZE", -1, "must be 0 or more, got -1 (int)"),
        ("MAX_QUEUE_SIZE", 0, "must be 1 or more, got 0 (int)"),
        ("CHECKS_BEFORE_CLEANUP", -1, "must be 0 or more, got -1 (int)"),
        ("WORKERS_COUNT", 0, "must be 1 or more, got 0 (int)"),
        ("SLEEP_DELAY_SECONDS", 0, "must be greater than 0, got 0 (int)"),
        ("SLEEP_DELAY_SECONDS", "2", "must be a number, got '2' (str)"),
        ("SLEEP_DELAY_SECONDS", True, "must be a number, got True (bool)"),
        ("SLEEP_DELAY_SECONDS", float("inf"), "must be a finite number, got inf (float)"),
        ("TASKS_PER_WORKER_INSTANCE", 0, "must be 1 or more, or None, got 0 (int)"),
        ("DELETE_TASKS_ON_COMPLETE", 1, "must be True or False, got 1 (int)"),
        ("DEFAULT_POSTPONE_DELAY_SECONDS", -1, "must be 0 or more, got -1 (int)"),
        ("DEFAULT_POSTPONES_COUNT", "all", "must be a whole number, or None, got 'all' (str)"),
        ("WORKER_MAX_MEMORY_MB", 0, "must be 1 or more, or None, got 0 (int)"),
        ("KEEP_FINISHED_SECONDS", -1, "must be 0 or more, or None, got -1 (int)"),
        ("KEEP_FAILED_SECONDS", 1e300, "must be 3.16224e+08 or less, or None, got 1e+300 (float)"),
        ("min_queue_size", 5, "unknown key; did you mean 'MIN_QUEUE_SIZE'?"),
        ("WORKER_COUNT", 5, "unknown key; did you mean 'WORKERS_COUNT'?"),
        (5, 5, "unknown key; known are CHECKS_BEFORE_CLEANUP, CONCURRENCY, DEFAULT_POSTPONES"),
    ],
)
def test_a_wrong_value_is_named_with_its_queue_and_key(
    settings: Any, key: Any, value: Any, says: str
) -> None:
    settings.PARTISAN_CONFIG = {"mail": {key: value}}
    [error] = validate_settings()
    assert str(error).startswith(f"PARTISAN_CONFIG['mail'][{key!r}]: {says}")
    assert (error.queue, error.key) == ("mail", str(key))
    assert message_of() == str(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MIN_QUEUE_SIZE", 0),
        ("SLEEP_DELAY_SECONDS", 0.05),
        ("DEFAULT_POSTPONE_DELAY_SECONDS", 0),
        ("DEFAULT_POSTPONES_COUNT", 0),
        ("DEFAULT_POSTPONES_COUNT", None),
        ("KEEP_FINISHED_SECONDS", 0),
    ],
)
def test_a_legal_zero_and_none_are_kept(settings: Any, key: Any, value: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {key: value}}
    assert getattr(get_queue_settings("mail"), key) == value


def test_min_above_max_is_named_with_both_numbers(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"MIN_QUEUE_SIZE": 20, "MAX_QUEUE_SIZE": 10}}
    assert message_of() == (
        "PARTISAN_CONFIG['mail']['MIN_QUEUE_SIZE']: 20 is greater than MAX_QUEUE_SIZE (10); "
        "lower the one or raise the other"
    )


def test_a_wrong_option_is_named_as_an_option(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"MAX_QUEUE_SIZE": 10}}
    with pytest.raises(ConfigurationError, match=r"^--min_queue_size: 20 is greater") as raised:
        merge_overrides("mail", min_queue_size=20)
    assert raised.value.queue == "mail"


def test_a_wrong_flat_setting_is_one_finding_however_many_queues_there_are(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}, "maps": {}}
    settings.WORKERS_COUNT = "4"
    [error] = validate_settings()
    assert str(error) == "WORKERS_COUNT: must be a whole number, got '4' (str)"
    assert (error.queue, error.key) == (None, "WORKERS_COUNT")


def test_everything_that_is_wrong_is_found_at_once(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {
        "mail": {"WORKERS_COUNT": 0, "MIN_QUEUE_SIZE": "5", "NO_SUCH": 1},
        "maps": {"MIN_QUEUE_SIZE": 2, "MAX_QUEUE_SIZE": 1},
        "none": None,
    }
    settings.PARTISAN_NOTIFY = "yes"
    settings.PARTISAN_MAX_RESCUES = -1
    assert len(validate_settings()) == 7


def test_one_wrong_queue_does_not_hide_the_others(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"WORKERS_COUNT": 0}}
    assert get_queue_settings("default") == QueueSettings()


@pytest.mark.parametrize("wrong", [["mail"], "mail", 5])
def test_a_config_that_is_no_dict_is_an_error(settings: Any, wrong: Any) -> None:
    settings.PARTISAN_CONFIG = wrong
    [error] = validate_settings()
    assert str(error).startswith("PARTISAN_CONFIG: must be a dict of queue names")
    assert error.key == "PARTISAN_CONFIG"


@pytest.mark.parametrize("wrong", [None, 5, [("WORKERS_COUNT", 2)]])
def test_a_queue_that_is_no_dict_is_an_error(settings: Any, wrong: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": wrong}
    assert message_of().startswith("PARTISAN_CONFIG['mail']: must be a dict of settings, got ")


@pytest.mark.parametrize("name", ["", "x" * 51, 5])
def test_a_queue_name_that_cannot_be_stored_is_an_error(settings: Any, name: str) -> None:
    settings.PARTISAN_CONFIG = {name: {}}
    [error] = validate_settings()
    assert "text of 1 to 50 characters" in str(error)


def test_a_value_whose_repr_fails_is_still_reported(settings: Any) -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise RuntimeError

    settings.PARTISAN_CONFIG = {"mail": {"WORKERS_COUNT": Nasty()}}
    assert message_of().endswith("got a value without a repr (Nasty)")


def test_a_long_value_is_shown_in_part(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"WORKERS_COUNT": "x" * 10_000}}
    assert len(message_of()) < 200


# --- the process


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("NODE_NAME", "", "must not be empty, or None, got '' (str)"),
        ("NODE_NAME", 5, "must be text, or None, got 5 (int)"),
        ("NODE_NAME", "x" * 256, "must have at most 255 characters, or None, got 'xxx"),
        ("NOTIFY", 1, "must be True or False, got 1 (int)"),
        ("HEARTBEAT_SECONDS", 0, "must be greater than 0, got 0 (int)"),
        ("SHUTDOWN_GRACE_SECONDS", -1, "must be 0 or more, got -1 (int)"),
        ("MAX_ARGUMENTS_BYTES", 255, "must be 256 or more, got 255 (int)"),
        ("MAX_RESCUES", 1.5, "must be a whole number, got 1.5 (float)"),
        ("DEAD_AFTER_SECONDS", 10, "10 is not more than twice PARTISAN_HEARTBEAT_SECONDS (5)"),
    ],
)
def test_a_wrong_process_setting_is_named(settings: Any, name: str, value: Any, says: str) -> None:
    setattr(settings, f"PARTISAN_{name}", value)
    [error] = validate_settings()
    assert str(error).startswith(f"PARTISAN_{name}: {says}")
    assert (error.queue, error.key) == (None, name)
    with pytest.raises(ConfigurationError, match=f"PARTISAN_{name}"):
        get_process_settings()


def test_a_setting_that_nobody_reads_is_named_with_a_suggestion(settings: Any) -> None:
    settings.PARTISAN_HEARTBEAT = 1
    [unknown] = unknown_settings()
    assert "did you mean 'PARTISAN_HEARTBEAT_SECONDS'?" in str(unknown)
    assert validate_settings() == []


def test_known_settings_are_not_reported_as_unknown(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {}
    for name in ProcessSettings.model_fields:
        setattr(settings, f"PARTISAN_{name}", None)
    assert unknown_settings() == []


# --- the reference


def documented(heading: str, prefix: str = "") -> dict[str, str]:
    """Return name -> default as the reference's table under `heading` states them."""
    text = REFERENCE.read_text().split(f"\n{heading}\n")[1]
    table = re.split(r"\n(?=[^\n]+\n[-=~]{4,}\n)", text)[0]
    rows = re.findall(r"\* - ``(\w+)``\n\s+- ``([^`]+)``", table)
    return {name.removeprefix(prefix): default for name, default in rows}


def defaults_of(model: type[BaseModel]) -> dict[str, str]:
    fields = model.model_fields.items()
    return {
        name: repr(field.default) if field.default_factory is None else "usable CPUs"
        for name, field in fields
    }


def test_the_documented_defaults_of_a_queue_are_the_codes() -> None:
    assert documented("Settings of a queue") == defaults_of(QueueSettings)


def test_the_documented_defaults_of_a_process_are_the_codes() -> None:
    assert documented("Settings of a process", "PARTISAN_") == defaults_of(ProcessSettings)
