"""What the command says, and with which exit code it ends, when it cannot begin."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from django_partisan import migrations
from django_partisan.config.const import ExitCode
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.settings import DATABASE_VARIABLE, INSTALLED_APPS
from tests.support.harness import run_command
from tests.support.ledger import Book
from tools.database_urls import database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("queue", "arguments", "words"),
    [
        ({"WORKER_COUNT": 2}, (), ["'default'", "WORKER_COUNT", "WORKERS_COUNT"]),
        (
            {"MIN_QUEUE_SIZE": 20, "MAX_QUEUE_SIZE": 10},
            (),
            ["'default'", "MIN_QUEUE_SIZE", "MAX_QUEUE_SIZE"],
        ),
        ({"MAX_QUEUE_SIZE": "10"}, (), ["'default'", "MAX_QUEUE_SIZE", "'10'"]),
        ({"SLEEP_DELAY_SECONDS": 0}, (), ["'default'", "SLEEP_DELAY_SECONDS"]),
        ({}, ("--workers_count", "0"), ["--workers_count"]),
        ({}, ("--queue_name", "defautl"), ["'defautl'", "did you mean 'default'"]),
    ],
)
def test_wrong_settings_are_named_and_nothing_starts(
    tmp_path: Path, queue: dict[str, Any], arguments: tuple[str, ...], words: list[str]
) -> None:
    settings = {"PARTISAN_CONFIG": {"default": queue}}
    code, output = run_command(tmp_path, settings=settings, arguments=arguments)
    assert code == ExitCode.CONFIGURATION, output
    assert all(word in output for word in words), output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "databases", [{}, {"default": {"ENGINE": "django.db.backends.dummy"}}], ids=["none", "dummy"]
)
def test_a_database_that_cannot_hold_tasks_is_told_in_one_sentence(
    tmp_path: Path, databases: dict[str, Any]
) -> None:
    code, output = run_command(tmp_path, settings={"DATABASES": databases})
    assert code == ExitCode.CONFIGURATION, output
    assert "DATABASES['default'] (django.db.backends.dummy) cannot hold the tasks" in output
    assert "Traceback" not in output


def test_skip_checks_is_accepted_as_by_other_commands(tmp_path: Path) -> None:
    settings = {"PARTISAN_CONFIG": {"default": {"WORKER_COUNT": 2}}}
    code, output = run_command(tmp_path, settings=settings, arguments=("--skip-checks",))
    assert code == ExitCode.CONFIGURATION, output
    assert "WORKER_COUNT" in output


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    settings = {
        "PARTISAN_CONFIG": {"default": {"WORKER_COUNT": 2}, "mail": {"MAX_QUEUE_SIZE": -1}},
        "PARTISAN_HEARTBEAT_SECONDS": "often",
    }
    code, output = run_command(tmp_path, settings=settings)
    assert code == ExitCode.CONFIGURATION
    for word in ("'default'", "WORKER_COUNT", "'mail'", "MAX_QUEUE_SIZE", "HEARTBEAT_SECONDS"):
        assert word in output
    assert "Traceback" not in output


def test_tables_that_are_not_migrated_are_one_sentence(tmp_path: Path) -> None:
    with _empty_database(tmp_path) as url:
        code, output = run_command(tmp_path, environment={DATABASE_VARIABLE: url})
    assert code == ExitCode.CONFIGURATION, output
    assert "run `manage.py migrate`" in output
    assert "Traceback" not in output


def test_tables_that_lack_only_the_latest_migration_are_named(tmp_path: Path) -> None:
    names = (module.name for module in pkgutil.iter_modules(migrations.__path__))
    latest = max(name for name in names if not name.startswith("_"))
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("django_partisan", latest)
    try:
        code, output = run_command(tmp_path)
    finally:
        recorder.record_applied("django_partisan", latest)
    assert code == ExitCode.CONFIGURATION, output
    assert f"{latest} is not applied" in output
    assert "run `manage.py migrate`" in output


def test_a_project_that_workers_cannot_load_has_its_own_exit_code(tmp_path: Path) -> None:
    settings = {"INSTALLED_APPS": [*INSTALLED_APPS, "tests.broken_app"]}
    code, output = run_command(tmp_path, settings=settings)
    assert code == ExitCode.WORKER_BOOT, output
    assert "The project could not be loaded" in output
    assert "RuntimeError: the project is broken for workers" in output


@pytest.mark.sqlite
def test_a_second_manager_on_one_sqlite_file_is_refused(
    tmp_path: Path, start_manager: StartManager, book: Book
) -> None:
    first = start_manager()
    code, output = run_command(tmp_path)
    assert code == ExitCode.ALREADY_RUNNING
    assert f"process {first.pid}" in output
    assert "Traceback" not in output
    assert first.process.poll() is None


class _empty_database:  # noqa: N801 - used like a function
    """A database without any table, for as long as the block runs."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "empty.sqlite3"
        self._name = f"{connection.settings_dict['NAME']}_empty"

    def __enter__(self) -> str:
        if connection.vendor == "sqlite":
            return f"sqlite:///{self._path}"
        self._execute(f'DROP DATABASE IF EXISTS "{self._name}"')
        self._execute(f'CREATE DATABASE "{self._name}"')
        return database_url(connection.settings_dict, self._name)

    def __exit__(self, *_: object) -> None:
        if connection.vendor != "sqlite":
            self._execute(f'DROP DATABASE "{self._name}" WITH (FORCE)')

    @staticmethod
    def _execute(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_manager_says_that_it_lives_whoever_has_configured_logging(
    start_manager: StartManager, book: Book
) -> None:
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"out": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["out"], "level": "WARNING"},
    }
    settings = {"LOGGING": logging, "PARTISAN_HARTBEAT": 1}
    manager = start_manager(settings=settings, arguments=("-v1",))
    book.run(Note())
    assert manager.stop() == 0
    assert manager.log.count("serves queue 'default' with 2 workers") == 1
    assert "and " in manager.log.partition("processors: ")[2], "which ones, as far as there is room"
    assert "PARTISAN_HARTBEAT" in manager.log, "a warning of the check"
    assert "django_partisan.W001" in manager.log
    assert "stopped (clean)" not in manager.log, "the rest is the project's own choice"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NAME": "no_such_base"}, ["has no database 'no_such_base'", "createdb", "correct NAME"]),
        ({"USER": "nobody_here"}, ["'nobody_here'", "USER"]),
    ],
)
def test_a_server_that_refuses_is_believed_at_the_start(
    tmp_path: Path, changes: dict[str, str], words: list[str]
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs a server")
    url = database_url({**connection.settings_dict, **changes})
    code, output = run_command(tmp_path, environment={DATABASE_VARIABLE: url})
    assert code == ExitCode.CONFIGURATION, output
    assert all(word in output for word in [*words, "DATABASES['default']"]), output
    assert "Traceback" not in output


def test_a_file_that_cannot_be_a_database_is_told_at_the_start(tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("This is no database, however long one looks at it. " * 50)
    for name, words in (("no/such/directory", "cannot be opened"), (text.name, "is no SQLite")):
        environment = {DATABASE_VARIABLE: f"sqlite:///{tmp_path / name}"}
        code, output = run_command(tmp_path, environment=environment)
        assert code == ExitCode.CONFIGURATION, output
        assert words in output
        assert name in output
        assert "Traceback" not in output


@pytest.mark.parametrize("option", ["--queue-name", "--queue_name"])
def test_a_queue_is_named_in_either_spelling(tmp_path: Path, option: str) -> None:
    code, output = run_command(tmp_path, arguments=(option, "defautl"))
    assert code == ExitCode.CONFIGURATION
    assert "did you mean 'default'" in output
