"""What the README and the tutorial tell their readers to do works, and shows what they say."""

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from tests.settings import ROOT
from tests.support.helpers import wait_until
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.sqlite

_REQUEUE = """
import django; django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
settings.ALLOWED_HOSTS = ["testserver"]
client = Client()
client.force_login(User.objects.create_superuser("editor"))
page = client.get("/admin/django_partisan/task/4/change/").content.decode()
assert "Run again" in page
assert "the wire does not answer" in page
listing = client.get("/admin/").content.decode()
assert "Partisan" in listing
assert "Tasks" in listing
done = client.post(
    "/admin/django_partisan/task/", {"action": "requeue", "_selected_action": ["4"]}
)
assert done.status_code == 302
"""


def requeue_in_the_admin(reader: Walkthrough) -> None:
    reader.run_python(_REQUEUE)


def kill_the_manager(reader: Walkthrough) -> None:
    # By its pid: a test must not kill by name.
    wait_until(lambda: _status_of_the_last_task(reader) == "in_process")
    assert reader.manager is not None
    reader.manager.kill()
    reader.manager.wait()
    reader.manager = None
    assert _status_of_the_last_task(reader) == "in_process"


def _status_of_the_last_task(reader: Walkthrough) -> str | None:
    # It runs for some seconds: there is no time to start a Python that loads Django.
    with contextlib.closing(sqlite3.connect(reader.project / "db.sqlite3", timeout=10)) as database:
        found = database.execute("SELECT status FROM django_partisan_task WHERE id = 6").fetchone()
    return found and str(found[0])


def test_the_start_in_the_readme_works_in_an_empty_project(tmp_path: Path) -> None:
    Walkthrough(tmp_path).follow(ROOT / "README.rst")


def test_the_tutorial_works_from_the_first_command_to_the_last(tmp_path: Path) -> None:
    checks = {check.__name__: check for check in (requeue_in_the_admin, kill_the_manager)}
    Walkthrough(tmp_path, checks).follow(ROOT / "docs/tutorial/index.rst")


def test_the_page_of_a_task_has_the_button_that_the_tutorial_names() -> None:
    template = ROOT / "django_partisan/templates/admin/django_partisan/task/change_form.html"
    button = re.compile(r"\*Run again\*")
    assert button.search((ROOT / "docs/tutorial/index.rst").read_text())
    assert "Run again" in template.read_text()
