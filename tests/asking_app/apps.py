"""The app's configuration: it uses the database while it is loaded, as one should not."""

from typing import Any

from django.apps import AppConfig


class AskingAppConfig(AppConfig):
    name = "tests.asking_app"

    def ready(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


class SettingAppConfig(AppConfig):
    """An app that sets something on each new connection."""

    name = "tests.asking_app"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        connection_created.connect(set_a_limit)


def set_a_limit(*, connection: Any, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '43210'")
