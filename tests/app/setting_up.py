"""What a project's own manage.py may do before Django is set up, for PARTISAN_SETUP."""

from __future__ import annotations

import sys

import django
from django.apps import apps
from django.conf import settings


def before_django() -> None:
    assert not settings.configured
    print("prepared: Django comes next", file=sys.stderr)


def with_django() -> None:
    assert not apps.ready
    django.setup()
    print("prepared: Django is set up", file=sys.stderr)


def broken() -> None:
    raise RuntimeError("no .env file here")
