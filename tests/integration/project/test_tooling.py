"""A subprocess sees the test database."""

import subprocess
import sys

import pytest

from tests.app.models import Ledger
from tests.support.helpers import command_environment

COUNT = """
import django
django.setup()
from tests.app.models import Ledger
print(Ledger.objects.count())
"""


@pytest.mark.django_db(transaction=True)
def test_a_subprocess_reads_the_rows_that_the_test_wrote() -> None:
    Ledger.objects.create(task_id=1, note="from the test")
    counted = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert counted.stdout.strip() == "1"
