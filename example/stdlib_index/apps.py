"""The Django application of the index."""

from django.apps import AppConfig


class StdlibIndexConfig(AppConfig):
    """Register the application under a readable name."""

    name = "stdlib_index"
    verbose_name = "Standard library index"
    default_auto_field = "django.db.models.BigAutoField"
