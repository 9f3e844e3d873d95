"""A flow as a flowchart in Mermaid's language: equal neighbours are one node."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

from django_partisan.lifecycle.rows import dependency_rows, task_rows
from django_partisan.models import Flow, Task

_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_ENDED: Final = frozenset(Task.TERMINAL_STATUSES)


class _Kind(NamedTuple):
    """What tasks have in common that are drawn as one: processor, and the kinds they wait for."""

    processor_class: str
    parents: frozenset[int]


def mermaid_of(flow: Flow) -> str:
    """Return the flowchart's text. Tasks of one processor that wait for the same are one node."""
    rows = task_rows().filter(flow_id=flow.pk).order_by("pk")
    tasks = {
        pk: (name, status)
        for pk, name, status in rows.values_list("pk", "processor_class", "status")
    }
    parents: dict[int, set[int]] = {pk: set() for pk in tasks}
    edges = dependency_rows().filter(child_id__in=rows.values("pk"))
    for child, parent in edges.values_list("child_id", "parent_id"):
        if parent in tasks:
            parents[child].add(parent)
    return "\n".join(["flowchart LR", *_lines(tasks, parents)])


def _lines(tasks: dict[int, tuple[str, str]], parents: dict[int, set[int]]) -> Iterator[str]:
    numbers: dict[_Kind, int] = {}
    number_of: dict[int, int] = {}
    statuses: dict[int, Counter[str]] = defaultdict(Counter)
    for pk in TopologicalSorter(parents).static_order():
        name, status = tasks[pk]
        kind = _Kind(name, frozenset(number_of[parent] for parent in parents[pk]))
        number_of[pk] = numbers.setdefault(kind, len(numbers))
        statuses[number_of[pk]][status] += 1
    for kind, number in numbers.items():
        yield f"    n{number}{_shape(kind.processor_class, statuses[number])}"
    for kind, number in numbers.items():
        for parent in sorted(kind.parents):
            yield f"    n{parent} --> n{number}"


def _shape(processor_class: str, statuses: Counter[str]) -> str:
    if not processor_class:
        return "(( ))"
    name = processor_class.rpartition(".")[2].replace('"', "'")
    return f'["{" · ".join(_words(name, statuses))}"]'


def _words(name: str, statuses: Counter[str]) -> Iterable[str]:
    total = statuses.total()
    yield f"{name} {_TIMES}{total:,}" if total > 1 else name
    if total == 1:
        yield next(iter(statuses)).replace("_", " ")
        return
    yield f"{sum(count for status, count in statuses.items() if status in _ENDED):,} done"
    if failed := statuses[Task.STATUS_ERROR]:
        yield f"{failed:,} failed"
