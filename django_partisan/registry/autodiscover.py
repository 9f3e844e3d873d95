"""Importing the modules of every installed app in which processors register."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

from django_partisan.exceptions import ConfigurationError
from django_partisan.registry.registry import ProcessorClass, registry
from django_partisan.settings import ProcessSettings, get_process_settings


def autodiscover() -> None:
    """Import the PARTISAN_MODULES (`partisan_tasks`) of every installed app that has them.

    An app without such a module is fine. Any error inside of one, an ImportError too, is raised as
    it is: a processor that silently fails to register would fail its tasks later. Calling it again
    does nothing new.
    """
    with registry.discovering():
        autodiscover_modules(*module_names())


initialize_processors = autodiscover
"""The name that :func:`autodiscover` had in 1.6.1."""


def advice_for_late(processor_class: ProcessorClass) -> str:
    """Say what makes workers find a class that was registered when Django was set up already."""
    module = processor_class.__module__
    app = apps.get_containing_app_config(module)
    if app is None:
        return (
            f"No installed app contains its module {module}: add the app to INSTALLED_APPS, and "
            f"import the module in its {module_names()[0]}.py."
        )
    inner = module.removeprefix(app.name).lstrip(".")
    if inner in module_names():
        return f"Register it while {module} is imported, not later."
    remedy = f"Import its module {module} in {app.name}.{module_names()[0]}"
    return f"{remedy}, or add {inner!r} to the setting PARTISAN_MODULES." if inner else f"{remedy}."


def module_names() -> Sequence[str]:
    """Return PARTISAN_MODULES, or their default where the setting is wrong."""
    try:
        return get_process_settings().MODULES
    except ConfigurationError:  # `manage.py check` and `start_partisan` tell it
        return ProcessSettings().MODULES
