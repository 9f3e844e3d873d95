"""The example project's own tests pass on the database under test."""

import os
import subprocess
import sys
from pathlib import Path

from django.db import connection

from tests.settings import ROOT
from tools.database_urls import database_url


def test_the_example_project_passes_its_own_tests(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DEMO_DATA": str(tmp_path),
        "PYTHONWARNINGS": "error",
    }
    if connection.vendor == "postgresql":
        # A database of its own, so that two checkouts can share a server.
        name = f"partisan_example_{os.getpid()}"
        environment["DEMO_DATABASE_URL"] = database_url(connection.settings_dict, name)
    done = subprocess.run(
        [sys.executable, "manage.py", "test", "--noinput"],
        check=False,
        cwd=ROOT / "example",
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
