"""The processor that comes late."""

from django_partisan.registry import registry
from tests.app.partisan_tasks import Note


@registry.register
class Late(Note):
    pass
