"""Every import that a project may hold keeps working, wherever its code lives by now."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

PATHS = """
django_partisan: __version__
django_partisan.apps: BackgroundTasksConfig PartisanConfig
django_partisan.config: const
django_partisan.config.const: DEFAULT_QUEUE_NAME DELAY_STRATEGIES DELAY_STRATEGY_CONSTANT
    DELAY_STRATEGY_EXPONENTIAL DELAY_STRATEGY_INCREMENTAL ExitCode
django_partisan.config.processor_configs: ErrorsHandleConfig PostponeConfig
django_partisan.exceptions: AtomicityLost CancelTask ConfigurationError DuplicateNotVisible FailTask
    LeaseLost ManagerAlreadyRunning MaxPostponesReached NotMigrated PartisanException Postpone
    PostponeTask ProcessorClassAlreadyRegistered ProcessorClassException ProcessorClassNotFound
    TaskCancelled TaskTimedOut UnknownQueue WorkerBootError
django_partisan.lifecycle: requeue
django_partisan.logs: JsonFormatter
django_partisan.management.commands.partisan: Command
django_partisan.management.commands.start_partisan: Command
django_partisan.models: Attempt ManagerProcess StoredSchedule Task TasksManager
django_partisan.processor: BaseTaskProcessor processor
django_partisan.registry: Registry autodiscover initialize_processors register registry
django_partisan.registry.registry: Registry register registry
django_partisan.schedules: Schedule
django_partisan.settings: PARTISAN_CONFIG QueueSettings get_queue_settings
django_partisan.worker: Worker
django_partisan.workers_manager: WorkersManager
"""
MIGRATIONS = ("0001_initial", "0002_auto_20200721_0300")
"""Those that databases of 1.6.1 have recorded."""


def _names() -> list[tuple[str, str]]:
    module, found = "", []
    for word in PATHS.split():
        if word.endswith(":"):
            module = word[:-1]
        else:
            found.append((module, word))
    return found


@pytest.mark.parametrize(("module", "name"), _names())
def test_a_public_name_can_be_imported(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


def test_the_registry_of_the_package_is_the_one_of_its_module() -> None:
    package = import_module("django_partisan.registry")
    assert package.registry is import_module("django_partisan.registry.registry").registry


def test_the_constants_that_1_6_1_had_among_its_settings_warn_and_work() -> None:
    sys.modules.pop("django_partisan.settings.const", None)
    with pytest.warns(DeprecationWarning, match="config.const"):
        const = import_module("django_partisan.settings.const")
    assert (const.DEFAULT_QUEUE_NAME, const.WORKERS_COUNT) == ("default", "WORKERS_COUNT")
    assert const.DEFAULT_POSTPONES_COUNT == "DEFAULT_POSTPONES_COUNT"


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_migration_of_1_6_1_keeps_its_name(name: str) -> None:
    package = import_module("django_partisan.migrations")
    assert (Path(package.__path__[0]) / f"{name}.py").is_file()
