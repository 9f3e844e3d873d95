"""The lookup of tasks by their tags, stated as the index of each database states it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Lookup


class HasTags(Lookup):
    """``tags__has_tags=["a", "b"]``: the task has all of these tags.

    The ORM's own ``contains`` does the same on PostgreSQL, and SQLite has none.
    """

    lookup_name = "has_tags"
    prepare_rhs = False
    rhs: Sequence[str]

    def as_postgresql(
        self, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        """Return the condition that the index of the tags answers."""
        tags, parameters = self.process_lhs(compiler, connection)
        return f"{tags} @> %s::jsonb", [*parameters, json.dumps(list(self.rhs))]

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return the condition that looks through the index of what has tags."""
        tags, parameters = self.process_lhs(compiler, connection)
        found = f" AND EXISTS (SELECT 1 FROM json_each({tags}) WHERE value = %s)"
        # The first condition is that of the index.
        return f"({tags} IS NOT NULL{found * len(self.rhs)})", [*parameters, *self.rhs]
