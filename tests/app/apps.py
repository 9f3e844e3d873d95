"""The app's configuration."""

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string


class TestsAppConfig(AppConfig):
    name = "tests.app"
    label = "tests_app"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if name := getattr(settings, "TESTS_RECEIVERS", None):
            import_string(name)()
