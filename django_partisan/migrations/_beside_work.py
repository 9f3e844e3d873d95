"""Operations that let producers and managers work beside them, where the database can."""

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations


class AddIndexBesideWork(AddIndexConcurrently):
    """Adds an index without a lock where the database can, and as ever where it cannot."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            self._plain().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            self._plain().database_backwards(app_label, schema_editor, from_state, to_state)

    def _plain(self):
        return migrations.AddIndex(self.model_name, self.index)


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
