"""The Django app: its name, and what happens once Django is ready."""

from django.apps import AppConfig


class PartisanConfig(AppConfig):
    """Register the system checks and every processor of the project when Django starts."""

    name = "django_partisan"
    verbose_name = "Partisan"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand verbs and SQL to the models, register checks, import `partisan_tasks` of every app.

        The last as Django's admin does, so that `.delay()` knows its processor in every process and
        an import error shows at start instead of when a task runs.
        """
        from django_partisan import checks, inline, registry
        from django_partisan.database.tags import HasTags
        from django_partisan.lifecycle import flows, schedules
        from django_partisan.management import beside_runserver
        from django_partisan.models import Flow, StoredSchedule, Task
        from django_partisan.models.labels import TagsField

        TagsField.register_lookup(HasTags)
        Task.inline = inline
        StoredSchedule.verbs = schedules
        Flow.verbs = flows
        checks.register_all()
        registry.autodiscover()
        beside_runserver.start_if_wanted()


class BackgroundTasksConfig(PartisanConfig):
    """The name that INSTALLED_APPS of a project written for 1.6.1 may hold."""

    default = False
