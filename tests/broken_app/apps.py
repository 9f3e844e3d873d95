"""The app's configuration."""

import sys

from django.apps import AppConfig


class BrokenAppConfig(AppConfig):
    name = "tests.broken_app"

    def ready(self) -> None:
        if "start_partisan" not in sys.argv:
            raise RuntimeError("the project is broken for workers")
