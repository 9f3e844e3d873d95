"""Operations that let producers and managers work beside them, where the database can."""

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations


class AddIndexBesideWork(migrations.AddIndex):
    """Adds an index without a lock where the database can, and as ever where it cannot.

    PostgreSQL may get another one under the same name, by which it is found and removed; models
    know both as the one that every database can have.
    """

    def __init__(self, model_name, index, on_postgresql=None):
        super().__init__(model_name, index)
        self.on_postgresql = on_postgresql or index

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            operation = AddIndexConcurrently(self.model_name, self.on_postgresql)
            operation.database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            operation = AddIndexConcurrently(self.model_name, self.index)
            operation.database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddConstraintBesideWork(AddConstraintNotValid):
    """Adds a constraint without reading the table where that can wait, and as ever elsewhere."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            plain = migrations.AddConstraint(self.model_name, self.constraint)
            plain.database_forwards(app_label, schema_editor, from_state, to_state)


class ValidateBesideWork(ValidateConstraint):
    """Reads what such a constraint has not: under a lock that lets writers pass."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
