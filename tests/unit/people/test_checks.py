"""What `manage.py check` says."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, INFO, WARNING
from django.db import connections
from django.db.backends.signals import connection_created

from django_partisan import checks
from django_partisan.checks import limits as limits_of_system
from django_partisan.checks.concurrency import check_concurrency

COMPLETE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "db.sqlite3",
    "OPTIONS": checks.SQLITE_OPTIONS,
}


def test_a_project_without_settings_has_nothing_to_correct() -> None:
    assert checks.check_settings() == []
    assert checks.check_unused_settings() == []


def test_every_wrong_setting_is_an_error_with_a_hint(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"WORKERS_COUNT": 0}, "maps": {"NO_SUCH": 1}}
    settings.PARTISAN_NOTIFY = "yes"
    found = checks.check_settings()
    assert [message.level for message in found] == [ERROR] * 3
    assert all(message.hint and message.id == "django_partisan.E001" for message in found)
    assert "PARTISAN_CONFIG['mail']['WORKERS_COUNT']" in found[0].msg


def test_a_setting_that_nobody_reads_is_a_warning_with_a_suggestion(settings: Any) -> None:
    settings.PARTISAN_NOTIFI = False
    [message] = checks.check_unused_settings()
    assert message.level == WARNING
    assert "did you mean 'PARTISAN_NOTIFY'?" in message.msg


def test_a_queues_key_written_as_a_process_setting_is_sent_to_its_place(settings: Any) -> None:
    settings.PARTISAN_WORKERS_COUNT = 2
    [message] = checks.check_unused_settings()
    assert "PARTISAN_CONFIG = {'default': {'WORKERS_COUNT': ...}}" in message.msg


def test_checks_before_cleanup_is_said_to_do_nothing_at_each_place_it_is_set(settings: Any) -> None:
    settings.CHECKS_BEFORE_CLEANUP = 50
    settings.PARTISAN_CONFIG = {"mail": {"CHECKS_BEFORE_CLEANUP": 10}, "maps": {}}
    found = checks.check_unused_settings()
    assert [message.level for message in found] == [INFO, INFO]
    assert [message.msg.split(" does nothing")[0] for message in found] == [
        "CHECKS_BEFORE_CLEANUP",
        "PARTISAN_CONFIG['mail']['CHECKS_BEFORE_CLEANUP']",
    ]


def test_checks_survive_a_config_of_the_wrong_shape(settings: Any) -> None:
    settings.PARTISAN_CONFIG = ["mail"]
    assert len(checks.check_settings()) == 1
    assert checks.check_unused_settings() == []


def test_sqlite_as_startproject_makes_it_gets_a_snippet_to_copy() -> None:
    [message] = checks.sqlite_messages("default", {"NAME": "db.sqlite3", "OPTIONS": {}})
    assert message.level == WARNING
    assert "transaction_mode, init_command, timeout" in message.msg
    snippet = str(message.hint).split("\n", 1)[1]
    assert eval("{" + snippet + "}") == {"OPTIONS": checks.SQLITE_OPTIONS}


def test_the_snippet_keeps_what_the_project_has_set() -> None:
    options = {"timeout": 60, "isolation_level": None}
    [message] = checks.sqlite_messages("other", {"NAME": "db.sqlite3", "OPTIONS": options})
    snippet = eval("{" + str(message.hint).split("\n", 1)[1] + "}")
    assert snippet["OPTIONS"] == {**checks.SQLITE_OPTIONS, **options}
    assert "timeout" not in message.msg
    assert "DATABASES['other']" in str(message.hint)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"NAME": ":memory:", "OPTIONS": {}},
        {"NAME": "file:memorydb_default?mode=memory&cache=shared", "OPTIONS": {}},
        {"OPTIONS": {**checks.SQLITE_OPTIONS, "transaction_mode": "exclusive"}},
    ],
)
def test_a_database_that_is_set_up_or_only_in_memory_gets_no_warning(
    changes: dict[str, Any],
) -> None:
    assert checks.sqlite_messages("default", {**COMPLETE, **changes}) == []


def test_half_an_init_command_is_not_enough() -> None:
    options = {**checks.SQLITE_OPTIONS, "init_command": "PRAGMA foreign_keys=ON;"}
    [message] = checks.sqlite_messages("default", {**COMPLETE, "OPTIONS": options})
    assert "init_command" in message.msg
    assert "foreign_keys=ON" in str(message.hint)
    assert "journal_mode=WAL" in str(message.hint)


@pytest.mark.parametrize(
    ("vendor", "expected"), [("sqlite", ["django_partisan.W002"]), ("postgresql", [])]
)
def test_the_database_that_holds_the_tasks_is_the_one_looked_at(
    monkeypatch: pytest.MonkeyPatch, vendor: str, expected: list[str]
) -> None:
    connection = connections["default"]
    monkeypatch.setitem(connection.settings_dict, "NAME", "db.sqlite3")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    monkeypatch.setattr(connection, "vendor", vendor)
    assert [message.id for message in checks.check_databases()] == expected


def commit_messages(monkeypatch: pytest.MonkeyPatch, **database: Any) -> list[str]:
    settings = {**connections["default"].settings_dict, **database}
    monkeypatch.setattr(connections["default"], "settings_dict", settings)
    return [message.id or "" for message in checks.check_commits()]


def test_without_autocommit_delay_needs_a_commit_of_the_projects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert commit_messages(monkeypatch) == []
    assert commit_messages(monkeypatch, AUTOCOMMIT=False) == ["django_partisan.W010"]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"autocommit": False}, ["django_partisan.E010"]),
        ({"autocommit": True}, []),
        ({"init_command": "PRAGMA foreign_keys=ON; begin immediate;"}, ["django_partisan.E010"]),
        ({"init_command": "BEGIN; PRAGMA user_version; COMMIT;"}, []),
        (checks.SQLITE_OPTIONS, []),
    ],
)
def test_an_option_that_begins_a_transaction_for_ever_is_an_error(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], ids: list[str]
) -> None:
    assert commit_messages(monkeypatch, OPTIONS=options) == ids


def limit_messages(
    monkeypatch: pytest.MonkeyPatch, limits: dict[int, int], user: int = 1000
) -> dict[str, str]:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits.get(kind, -1), -1))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(limits_of_system, "_places", lambda told: iter(()))
    return {message.id or "": message.msg for message in limits_of_system.check_limits()}


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ("0::/system.slice/shop.service\n", "system.slice/shop.service"),
        ("0::/system.slice/shop.service\n", "system.slice"),
        ("0::/\n", "."),
        ("8:pids:/docker/3f\n7:memory:/other\n0::/\n", "pids/docker/3f"),
    ],
)
def test_the_limit_of_a_service_or_a_container_is_found(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, place: str
) -> None:
    settings.PARTISAN_CONFIG = {"default": {"WORKERS_COUNT": 100}}
    (tmp_path / "told").write_text(told)
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    limit = tmp_path / place / "pids.max"
    places = limits_of_system._places
    monkeypatch.setattr(limits_of_system, "_CGROUPS", tmp_path)
    monkeypatch.setattr(limits_of_system, "_places", lambda _: places(tmp_path / "told"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1))
    limit.write_text("303\n")
    [message] = limits_of_system.check_limits()
    assert message.id == "django_partisan.W012"
    assert "the limit here is 303" in message.msg
    for enough in ("304\n", "max\n"):
        limit.write_text(enough)
        assert limits_of_system.check_limits() == []


def test_limits_that_are_too_low_are_told_with_what_the_settings_need(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PARTISAN_CONFIG = {"default": {"WORKERS_COUNT": 2}, "mail": {"WORKERS_COUNT": 100}}
    low = {resource.RLIMIT_NOFILE: 531, resource.RLIMIT_NPROC: 303}
    found = limit_messages(monkeypatch, low)
    assert set(found) == {"django_partisan.W011", "django_partisan.W012"}
    assert "100 workers" in found["django_partisan.W011"]
    assert "532" in found["django_partisan.W011"]
    assert "531" in found["django_partisan.W011"]
    assert "304" in found["django_partisan.W012"]
    assert set(limit_messages(monkeypatch, low, user=0)) == {"django_partisan.W011"}


def test_a_manager_tells_of_limits_at_its_start(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PARTISAN_CONFIG = {"default": {"WORKERS_COUNT": 100}}
    limit_messages(monkeypatch, {resource.RLIMIT_NOFILE: 531})
    assert "django_partisan.W011" in {message.id for message in checks.own_messages()}


def test_limits_that_suffice_are_not_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PARTISAN_CONFIG = {"default": {"WORKERS_COUNT": 100}}
    enough = {resource.RLIMIT_NOFILE: 532, resource.RLIMIT_NPROC: 304}
    assert limit_messages(monkeypatch, enough) == {}
    assert limit_messages(monkeypatch, {}) == {}


def test_a_pool_is_told_of_with_what_workers_do_instead() -> None:
    [message] = checks.pool_messages("default", {"OPTIONS": {"pool": {"min_size": 2}}})
    assert message.level == INFO
    assert "'default'" in message.msg
    assert "workers" in message.msg
    assert checks.pool_messages("default", {"OPTIONS": {"pool": False}}) == []
    assert checks.pool_messages("default", {}) == []


def test_what_is_set_up_on_each_new_connection_is_told_of() -> None:
    if connections["default"].vendor == "sqlite":
        pytest.skip("SQLite has no session on a server")
    assert checks.check_sessions() == []
    connection_created.connect(_set_something_up)
    try:
        [message] = checks.check_sessions()
    finally:
        connection_created.disconnect(_set_something_up)
    assert message.level == INFO
    assert "_set_something_up is called for each new connection" in message.msg


def _set_something_up(**_: Any) -> None:
    """Do nothing: what counts is that Django would call it."""


def concurrency_messages(settings: Any, **queues: dict[str, int]) -> dict[str, str]:
    settings.PARTISAN_CONFIG = queues
    return {message.id or "": message.msg for message in check_concurrency()}


def test_concurrency_that_does_nothing_for_a_queue_is_told(settings: Any) -> None:
    found = concurrency_messages(settings, nobodys={"CONCURRENCY": 5}, default={})
    assert found == {
        "django_partisan.W015": "PARTISAN_CONFIG['nobodys']['CONCURRENCY'] does nothing: no "
        "processor of this queue can share a worker."
    }


def test_as_many_connections_as_a_server_hardly_has_are_told(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections["default"], "vendor", "postgresql")
    few = {"CONCURRENCY": 20, "WORKERS_COUNT": 4}
    assert concurrency_messages(settings, default=few) == {}
    found = concurrency_messages(settings, default={"CONCURRENCY": 100, "WORKERS_COUNT": 2})
    assert "may open 203 connections" in found["django_partisan.W016"]
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    assert concurrency_messages(settings, default={"CONCURRENCY": 100}) == {}


def test_threads_beside_each_other_count_as_processes(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PARTISAN_CONFIG = {"default": {"WORKERS_COUNT": 2, "CONCURRENCY": 50}}
    found = limit_messages(monkeypatch, {resource.RLIMIT_NPROC: 100})
    assert "needs about 110 processes and threads" in found["django_partisan.W012"]
