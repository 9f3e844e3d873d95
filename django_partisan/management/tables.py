"""The question whether the tables are there, asked before a command uses them."""

from __future__ import annotations

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from django_partisan.exceptions import NotMigrated
from django_partisan.instances import database


def require_tables() -> None:
    """Raise NotMigrated, saying what to run, unless all of the app's migrations are applied."""
    executor = MigrationExecutor(connections[database()])
    targets = executor.loader.graph.leaf_nodes("django_partisan")
    if executor.migration_plan(targets):
        raise NotMigrated(
            "The tables of django_partisan are missing or old; run `manage.py migrate` first."
        )
