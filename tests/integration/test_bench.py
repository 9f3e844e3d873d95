"""The measures of ``make bench`` run end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from benchmarks.figures import Figure, Target, readable
from tests.support.helpers import command_environment
from tools.database_urls import database_url

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_bench_measures_everything_and_writes_it_down(tmp_path: Path) -> None:
    (names,) = _quick_figures("bench", tmp_path / "figures.json", "--no-sqlite").values()
    measured = {name.split(",")[0].split(" ")[0] for name in names}
    assert measured == {"drain", "tasks", ".delay()", ".delay_many()", "pick-up", "idle"}


@pytest.mark.postgresql
def test_quick_measures_under_conditions_are_written_down(tmp_path: Path) -> None:
    options = ("--only", "memory,wal")
    (names,) = _quick_figures("conditions", tmp_path / "figures.json", *options).values()
    measured = {name.split(",")[0].split(":")[0] for name in names}
    assert measured == {"WAL per task", "commits per 1", "memory"}


@pytest.mark.parametrize(
    ("value", "is_maximum", "verdict"),
    [(9, True, "met"), (10, True, "met"), (11, True, "MISSED"), (9, False, "MISSED")],
)
def test_a_figure_is_held_to_its_target(value: float, is_maximum: bool, verdict: str) -> None:
    target = Target(bound=10, is_maximum=is_maximum)
    figure = Figure.of_runs("m", [value, value + 100, value - 100], "ms", target)
    assert figure.verdict == verdict
    assert Figure.from_json(json.loads(json.dumps(figure.to_json()))).verdict == verdict


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (12345.6, "12,346")])
def test_numbers_are_shown_with_the_digits_that_mean_something(value: float, text: str) -> None:
    assert readable(value) == text


def _quick_figures(command: str, output: Path, *options: str) -> dict[str, list[str]]:
    """Run a command; return the names of its figures by database, as written down and shown."""
    url = _unused_sqlite_url(output.parent)
    if connection.vendor == "postgresql":
        url = database_url(connection.settings_dict, "postgres")
    options = (*options, "--quick", f"--database={url}", f"--json={output}")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command}", *options],
        cwd=ROOT,
        env={**command_environment(), "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads(output.read_text())["databases"]
    return {
        name: [figure["measure"] for figure in section["figures"]]
        for name, section in sections.items()
    }


def _unused_sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'unused.sqlite3'}"
