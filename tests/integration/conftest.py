"""What tests of rows have: all of them two queues, some an administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings


@pytest.fixture(autouse=True)
def two_queues() -> Iterator[None]:
    """Configure a second queue beside 'default'."""
    with override_settings(PARTISAN_CONFIG={"default": {}, "other": {}}):
        yield


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    """Log an administrator in who may do everything."""
    client.force_login(User.objects.create_superuser("admin", "admin@example.com", "admin"))
    return client
