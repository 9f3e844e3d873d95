"""Importing `partisan_tasks` of every installed app, so that its processors register."""

from django.utils.module_loading import autodiscover_modules

TASKS_MODULE_NAME = "partisan_tasks"
"""The module of an app in which its processors are looked for."""


def autodiscover() -> None:
    """Import `partisan_tasks` of every installed app that has one.

    An app without that module is fine. Any error inside such a module, an ImportError too, is
    raised as it is: a processor that silently fails to register would fail its tasks later.
    Calling it again does nothing new.
    """
    autodiscover_modules(TASKS_MODULE_NAME)


initialize_processors = autodiscover
"""The name that :func:`autodiscover` had in 1.6.1."""
