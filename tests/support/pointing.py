"""The app whose models point at tasks, installed for a while with its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.test import override_settings

APP: Final = "tests.pointing_app"


def installed_apps() -> list[str]:
    """Return the INSTALLED_APPS of a manager that is to know these models."""
    return [*settings.INSTALLED_APPS, APP]


@contextmanager
def pointing_models() -> Iterator[Any]:
    """Install the app and its tables; yield its module of models."""
    try:
        with override_settings(INSTALLED_APPS=installed_apps()):
            # What models know of each other was found before this one was loaded.
            apps.clear_cache()
            with _tables(list(apps.get_app_config("pointing_app").get_models())):
                yield apps.get_app_config("pointing_app").models_module
    finally:
        apps.clear_cache()


@contextmanager
def _tables(models: list[type[Model]]) -> Iterator[None]:
    with connection.schema_editor() as editor:
        for model in models:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)
