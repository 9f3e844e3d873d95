"""What INSTALLED_APPS may say, and what Django knows once it is ready."""

import pytest
from django.apps import AppConfig, apps
from django.core.checks.registry import registry

from django_partisan import checks
from django_partisan.apps import PartisanConfig


@pytest.mark.parametrize(
    "entry",
    [
        "django_partisan",
        "django_partisan.apps.PartisanConfig",
        "django_partisan.apps.BackgroundTasksConfig",
    ],
)
def test_every_entry_that_installed_1_6_1_installs_this_version(entry: str) -> None:
    config = AppConfig.create(entry)
    assert isinstance(config, PartisanConfig)
    assert (config.name, config.label) == ("django_partisan", "django_partisan")


def test_new_keys_are_64_bit() -> None:
    assert PartisanConfig.default_auto_field == "django.db.models.BigAutoField"


def test_every_check_is_registered_once_however_often_django_gets_ready() -> None:
    apps.get_app_config("django_partisan").ready()
    ours = [
        check for check in registry.get_checks() if check.__module__.startswith(checks.__name__)
    ]
    assert len(ours) == len(set(ours)) == 9
