"""Who looks at the admin's pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    """Log an administrator in who may do everything."""
    client.force_login(User.objects.create_superuser("admin", "admin@example.com", "admin"))
    return client
