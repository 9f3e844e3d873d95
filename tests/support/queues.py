"""What tests of rows are configured with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings


@pytest.fixture(autouse=True)
def two_queues() -> Iterator[None]:
    """Configure a second queue beside 'default'."""
    with override_settings(PARTISAN_CONFIG={"default": {}, "other": {}}):
        yield
