"""A processor that workers would not find is refused where its task is enqueued."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.helpers import HANG_SECONDS, command_environment

ENQUEUE = """
import sys, django
django.setup()
from django_partisan import registry
from django_partisan.exceptions import ProcessorNotDiscovered
from django_partisan.processor import BaseTaskProcessor

{code}

for delay in (Here().delay, lambda: Here.delay_many([(1,)])):
    try:
        delay()
    except ProcessorNotDiscovered as error:
        print(error)
"""
IN_MAIN = """
@registry.register
class Here(BaseTaskProcessor):
    def run(self): ...
"""


def refusals(code: str) -> list[str]:
    """Enqueue in a process without Django's test environment; return what was refused."""
    done = subprocess.run(
        [sys.executable, "-c", ENQUEUE.format(code=code)],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "name", "remedy"),
    [
        (
            "from tests.late_app.partisan_tasks import Late as Here",
            "tests.late_app.partisan_tasks.Late",
            "add the app to INSTALLED_APPS",
        ),
        (IN_MAIN, "__main__.Here", "No installed app contains its module __main__"),
        (
            f"__name__ = 'tests.app.tasks'{IN_MAIN}",
            "tests.app.tasks.Here",
            "in tests.app.partisan_tasks, or add 'tasks' to the setting PARTISAN_MODULES",
        ),
        (
            f"__name__ = 'tests.app.partisan_tasks'{IN_MAIN}",
            "tests.app.partisan_tasks.Here",
            "Register it while tests.app.partisan_tasks is imported",
        ),
        (
            f"__name__ = 'tests.app'{IN_MAIN}",
            "tests.app.Here",
            "Import its module tests.app in tests.app.partisan_tasks.",
        ),
    ],
)
def test_a_class_that_comes_late_is_refused_with_module_and_remedy(
    code: str, name: str, remedy: str
) -> None:
    told = refusals(code)
    assert len(told) == 2
    for line in told:
        assert f"Processor class {name} would not be found by workers" in line
        assert remedy in line
