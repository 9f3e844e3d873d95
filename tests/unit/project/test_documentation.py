"""The reference says what the code says: every name is there, none is made up."""

from __future__ import annotations

import ast
import re
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Model

from django_partisan import lifecycle
from django_partisan import signals as project_signals
from django_partisan.config import const
from django_partisan.config.const import ExitCode
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.lifecycle import transitions
from django_partisan.lifecycle.transitions import (
    GIVE_UP,
    TAKE_OVER,
    TAKE_OVER_STARTED,
    TRANSITION_OF,
    Transition,
)
from django_partisan.logs import TaskExtra
from django_partisan.management.commands.start_partisan import Command
from django_partisan.management.verbs import VERBS
from django_partisan.manager import stop_signals
from django_partisan.models import (
    Attempt,
    Follower,
    ManagerProcess,
    Output,
    Pause,
    Progress,
    StoredSchedule,
    Task,
)
from django_partisan.processor import BaseTaskProcessor, IterationProcessor
from django_partisan.processor.attributes import Attributes
from django_partisan.schedules import Schedule
from django_partisan.settings import PREFIX, QUEUES_SETTING, ProcessSettings, QueueSettings
from django_partisan.worker import signals
from tests.settings import ROOT
from tests.support.listening import ALL
from tests.support.reference import NOTHING, table

PACKAGE = ROOT / "django_partisan"
DOCS = ROOT / "docs"
# What Django gives every command.
DJANGOS_OWN = {
    *("--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"),
    *("--no-color", "--force-color", "--skip-checks"),
}


def options_of(parser: ArgumentParser) -> set[str]:
    """Return the first spelling of every option that is not Django's."""
    actions = (action for action in parser._actions if action.option_strings)
    spelt = {max(action.option_strings[:1], key=len) for action in actions}
    return spelt - DJANGOS_OWN - {"-h", "-v"}


def columns_of(model: type[Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields]


def transitions_by_name() -> dict[str, Transition]:
    named = {
        name: value for name, value in vars(transitions).items() if isinstance(value, Transition)
    }
    return {name.lower().replace("_", " "): transition for name, transition in named.items()}


# --- exit codes, statuses, transitions


def test_the_exit_codes_are_those_of_the_code() -> None:
    told = {int(code): name for code, name, _ in table("exit-codes", "Exit codes")}
    assert told == {code.value: code.name for code in ExitCode}


def test_the_signals_are_those_that_processes_handle() -> None:
    told = {getattr(signal, name) for name, *_ in table("command-line", "Signals by process")}
    managers = {*stop_signals.STOP_SIGNALS, stop_signals.REPORT_SIGNAL, signal.SIGUSR2}
    assert told - {signal.SIGKILL} == managers == set(signals.IGNORED)


def test_the_statuses_are_those_of_the_model() -> None:
    told = {(status, name) for status, name, _ in table("statuses", "Statuses")}
    assert told == {(status.value, f"Task.STATUS_{status.name}") for status in Task.Status}


def test_the_states_of_a_manager_are_those_of_the_model() -> None:
    told = [state for state, _ in table("statuses", "States of a manager")]
    assert told == list(ManagerProcess.State.values)


def test_every_verb_of_the_lifecycle_has_its_row_in_the_transition_table() -> None:
    told = {verb: row for verb, *row in table("statuses", "Transitions")}
    assert set(transitions_by_name()) == set(told) - {
        *("enqueue", "claim", "requeue", "request cancel", "hold", "free", "expire waiting"),
        *("enqueue after", "tell", "tell of a failure"),
    }
    of_no_outcome = {GIVE_UP, TAKE_OVER, TAKE_OVER_STARTED}
    assert set(TRANSITION_OF.values()) | of_no_outcome == set(transitions_by_name().values())
    for name, transition in transitions_by_name().items():
        move, guard, adds, attempt = told[name]
        assert move == f"in_process → {transition.status}", name
        assert guard.startswith("lease"), name
        assert adds == _added(transition), name
        assert attempt == (transition.attempt_outcome or NOTHING), name


def test_every_public_move_of_the_lifecycle_has_its_row_in_the_transition_table() -> None:
    told = {verb for verb, *_ in table("statuses", "Transitions")}
    for name in ("enqueue", "claim", "take_over", "requeue"):
        assert callable(getattr(lifecycle, name))
        assert name.replace("_", " ") in told
    assert callable(lifecycle.request_cancel)


def _added(transition: Transition) -> str:
    told = [f"{name} {'+' if n > 0 else '-'} {abs(n)}" for name, n in transition.added.items()]
    return ", ".join(told) or NOTHING


def test_the_outcomes_of_attempts_in_the_transition_table_are_those_of_the_model() -> None:
    told = {row[-1] for row in table("statuses", "Transitions")} - {NOTHING}
    assert told == set(Attempt.Outcome.values)


# --- tables and attributes


@pytest.mark.parametrize(
    "model", [Task, Attempt, Output, Follower, ManagerProcess, StoredSchedule, Pause, Progress]
)
def test_the_columns_are_those_of_the_model(model: type[Model]) -> None:
    told = [column for column, _ in table("models", f"Columns of {model.__name__}")]
    assert told == columns_of(model)


def test_the_attributes_of_a_processor_are_those_of_the_class() -> None:
    told = {name: default for name, default, _ in table("processor", "Attributes of a processor")}
    names = [name for name in vars(Attributes) if name.isupper()]
    assert told == {name: repr(getattr(BaseTaskProcessor, name)) for name in names}


def test_the_attributes_of_an_iteration_are_those_of_the_class() -> None:
    told = {name: default for name, default, _ in table("processor", "Attributes of an iteration")}
    names = [name for name in vars(IterationProcessor) if name.isupper()]
    assert told == {name: repr(getattr(IterationProcessor, name)) for name in names}


def test_the_arguments_of_a_schedule_are_those_of_the_class() -> None:
    told = {name: default for name, default, _ in table("processor", "Arguments of a schedule")}
    defaults = Schedule()
    names = [field.name for field in fields(Schedule)]
    assert told == {name: repr(getattr(defaults, name)) for name in names}


def test_the_waits_before_retries_are_those_of_the_code() -> None:
    told = table("processor", "Waits before retries")
    assert {repr(strategy) for strategy in const.DELAY_STRATEGIES} == {row[1] for row in told}
    for name, value, waits in told:
        strategy = getattr(const, name)
        config = ErrorsHandleConfig(
            retry_on_errors=[OSError],
            retries_count=4,
            retry_pause=3,
            retry_pause_strategy=strategy,
        )
        assert value == repr(strategy)
        pauses = [config.get_pause_seconds(number) for number in range(1, 5)]
        assert waits == f"{', '.join(f'{pause:g}' for pause in pauses)} s"


def test_the_rhythms_of_repeats_are_those_of_the_code() -> None:
    told = {name: int(seconds) for name, seconds in table("processor", "Rhythms of repeats")}
    rhythm = re.compile("(HOUR|DAI|WEEK)LY|EVERY_.*")
    assert told == {name: getattr(const, name) for name in vars(const) if rhythm.fullmatch(name)}


# --- signals


def test_the_signals_are_those_of_the_module() -> None:
    rows = table("signals", "Signals of tasks, workers and managers")
    told = [(name, tuple(arguments.split(", "))) for name, _, arguments, *_ in rows]
    assert told == [(signal.name, signal.arguments) for signal in ALL]
    assert {name: vars(project_signals)[name] for name, _ in told} == {s.name: s for s in ALL}
    assert {name for name, sender, *_ in rows if sender == NOTHING} == {
        *("manager_started", "manager_stopped")
    }


# --- commands


def test_the_options_of_start_partisan_are_those_of_its_parser() -> None:
    rows = table("command-line", "Options of start_partisan")
    told = {option: setting for option, setting, _ in rows}
    assert set(told) == options_of(Command().create_parser("manage.py", "start_partisan"))
    for option, setting in told.items():
        name = option.removeprefix("--").upper()
        assert setting == (name if name in QueueSettings.model_fields else NOTHING)


def test_the_verbs_of_partisan_are_those_of_its_parser() -> None:
    assert [verb for verb, _ in table("command-line", "Verbs of partisan")] == list(VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_options_of_a_verb_are_those_of_its_parser(verb: str) -> None:
    parser = ArgumentParser()
    VERBS[verb].add_arguments(parser)
    told = {option for option, _ in table("command-line", f"Options of {verb}")}
    assert told == options_of(parser)


# --- checks and logging


def test_the_checks_are_those_of_the_code() -> None:
    text = "".join(path.read_text() for path in (PACKAGE / "checks").glob("*.py"))
    pattern = r'checks\.(Error|Warning|Info)\([^#]*?id="(django_partisan\.\w+)"'
    raised = re.findall(pattern, text)
    told = {(level, id_) for id_, level, _ in table("checks", "Checks")}
    assert told == {(level, id_) for level, id_ in raised}


def test_the_fields_of_log_records_are_those_of_the_code() -> None:
    told = [name for name, _ in table("logging", "Fields of records")]
    assert told == list(TaskExtra.__annotations__)


# --- docstrings, links, words


def _public_definitions() -> Iterator[tuple[str, Any]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        yield str(path.relative_to(ROOT)), tree
        yield from _public_in(tree, str(path.relative_to(ROOT)))


def _public_in(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    for child in node.body:
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if child.name.startswith("_") or child.name in ("Meta", "Media"):
            continue
        if any(
            isinstance(each, ast.Name) and each.id == "overload" for each in child.decorator_list
        ):
            continue
        yield f"{place}: {child.name}", child
        if isinstance(child, ast.ClassDef):
            yield from _public_in(child, f"{place}: {child.name}")


def test_every_public_name_has_a_docstring() -> None:
    # The methods of a dialect have theirs at the abstract one.
    missing = [
        name
        for name, node in _public_definitions()
        if not ast.get_docstring(node)
        and not re.match(r"django_partisan/database/(postgresql|sqlite)", name)
    ]
    assert missing == []


ON_THE_WEB = "https://github.com/ilyachch/django-partisan/blob/master/"


@pytest.mark.parametrize("page", ["README.rst", "CONTRIBUTING.rst"])
def test_every_link_of_a_page_beside_the_code_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text().replace(ON_THE_WEB, "")
    links = re.findall(r"<((?:docs/)?[\w./-]+\.rst)>`_", text)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_readme_has_no_link_that_only_a_checkout_can_follow() -> None:
    links = re.findall(r"<([^>\s]+)>`_", (ROOT / "README.rst").read_text())
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


def test_every_test_that_proves_a_promise_exists() -> None:
    page = (DOCS / "explanation" / "reliability.rst").read_text()
    proofs = re.findall(r"``(tests/\S+\.py)::(\w+)``", page)
    assert len(proofs) > 20
    for path, name in proofs:
        assert f"def {name}(" in (DOCS.parent / path).read_text(), f"{path} has no {name}"


CONTRIBUTORS = [
    ROOT / "CONTRIBUTING.rst",
    DOCS / "explanation" / "architecture.rst",
    *sorted((DOCS / "contributing").glob("*.rst")),
]


@pytest.mark.parametrize("page", CONTRIBUTORS, ids=lambda page: page.name)
def test_every_module_that_a_page_for_contributors_names_exists(page: Path) -> None:
    named = set(re.findall(r"``([\w/]+\.py)``", page.read_text()))
    assert [
        name for name in named if not any((root / name).is_file() for root in (PACKAGE, ROOT))
    ] == []


def test_every_make_target_that_contributors_are_told_of_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    hooks = re.findall(r"entry: make (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    pages = "".join(page.read_text() for page in CONTRIBUTORS)
    told = re.findall(r"(?:\$ |``)make ((?:[a-z-]+ ?)+)", pages)
    assert len(hooks) == 5
    assert told
    assert {target for words in (*hooks, *told) for target in words.split()} <= targets


def test_every_setting_that_a_page_names_exists() -> None:
    pages = [ROOT / "README.rst", *sorted(DOCS.rglob("*.rst"))]
    text = "".join(page.read_text() for page in pages)
    known = {QUEUES_SETTING, *(PREFIX + name for name in ProcessSettings.model_fields)}
    named = set(re.findall(r"``(PARTISAN_[A-Z_]+)", text))
    assert named - known - {"PARTISAN_"} == set()


def test_the_pages_use_one_word_for_one_thing() -> None:
    pages = [*ROOT.glob("*.rst"), *sorted(DOCS.rglob("*.rst"))]
    others = re.compile(r"\b(jobs?|snooz\w+|enqueuing|re-?queu(?!e)\w*)\b", re.IGNORECASE)
    found = {page.name: others.findall(page.read_text()) for page in pages}
    assert {name: words for name, words in found.items() if words} == {}
