"""Tasks that lead to others: chains and groups, as plain values that `.delay()` stores at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, NoReturn

from django.db.models import Model

from django_partisan.database.values import NewTask
from django_partisan.lifecycle.dependencies import checked_policy
from django_partisan.lifecycle.flows import Node, joint, store_flow
from django_partisan.lifecycle.steps import Storable, is_storable, refuse
from django_partisan.models import Dependency, Flow, FlowProgress

__all__ = ["Flow", "FlowProgress", "chain", "group"]

MAX_NAME_LENGTH: Final = 255
"""Characters of a flow's name."""
_CANCEL, _RUN = Dependency.Policy.CANCEL.value, Dependency.Policy.RUN.value


@dataclass(frozen=True, eq=False)
class Steps:
    """What :class:`chain` and :class:`group` have in common: steps, and what comes at the end."""

    steps: tuple[Any, ...]
    on_success: Any = None
    on_complete: Any = None

    def __init__(self, *steps: Any, on_success: Any = None, on_complete: Any = None) -> None:
        """Take processors, chains and groups; one iterable of them is as good as many arguments."""
        if len(steps) == 1 and not isinstance(steps[0], (Steps, Storable)):
            if not isinstance(steps[0], Iterable):
                self._refuse(steps[0])
            steps = tuple(steps[0])
        for step in (*steps, *(each for each in (on_success, on_complete) if each is not None)):
            if not isinstance(step, Steps) and not is_storable(step):
                self._refuse(step)
            if isinstance(step, Steps) and (step.on_success or step.on_complete):
                raise ValueError(
                    f"{type(self).__name__}(): only a whole flow has on_success and on_complete, "
                    "and a step of this one has; give them to the outermost, or to its delay()"
                )
        for name, value in (
            ("steps", steps),
            ("on_success", on_success),
            ("on_complete", on_complete),
        ):
            object.__setattr__(self, name, value)

    def _refuse(self, step: object) -> NoReturn:
        refuse(f"{type(self).__name__}() takes", step, also=", chains and groups")

    def then(self, *steps: Any) -> chain:
        """Return a chain of this and further steps; this one stays as it is."""
        return chain(self, *steps)

    def delay(
        self,
        *,
        name: str = "",
        on_success: Any = None,
        on_complete: Any = None,
        on_dependency_failure: str = _CANCEL,
        creator: Model | None = None,
        tags: Sequence[str] = (),
    ) -> Flow:
        """Store all tasks in the caller's transaction, and return the flow that they are.

        A task waits until all tasks of the step before it have ended. Where one of them does not
        finish it is cancelled, and so is what comes after it; with ``on_dependency_failure="run"``
        it runs all the same. ``on_success`` runs when everything has finished, ``on_complete`` when
        everything has ended, however it did; both come before other tasks of their queue.

        Every task gets ``creator`` and ``tags``, as by :meth:`.BaseTaskProcessor.delay`, also what
        comes at the end.

        Every task is stored, whatever its processor says of duplicates. A processor that stands in
        two places is one task, which both wait for.

        Raises what ``.delay()`` of each processor raises, ValueError for a flow without tasks, for
        one that leads back to its own beginning, and for a name that is too long. Then nothing is
        stored.
        """
        if len(name) > MAX_NAME_LENGTH:
            raise ValueError(f"name: a flow's name has {MAX_NAME_LENGTH} characters at most")
        plan = _Plan(checked_policy(on_dependency_failure), creator, tags)
        plan.draw(self)
        return plan.store(
            name,
            self.on_success if on_success is None else on_success,
            self.on_complete if on_complete is None else on_complete,
        )


class chain(Steps):  # noqa: N801 - named as the field names it
    """Steps one after the other: each waits until all of the one before it has ended."""


class group(Steps):  # noqa: N801 - named as the field names it
    """Steps side by side: what comes after the group waits for all of them."""


@dataclass
class _Plan:
    """The tasks of a flow by their places, and who waits for whom."""

    policy: str
    creator: Model | None
    tags: Sequence[str]
    nodes: list[Node] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    edges: dict[tuple[int, int], None] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)

    def draw(self, step: Any) -> tuple[list[int], list[int]]:
        """Take a step in; return the places at which it begins and ends."""
        match step:
            case chain():
                return self._draw_chain(step.steps)
            case group():
                return self._draw_group(step.steps)
        place = self.places.get(id(step))
        if place is None:
            place = self.places[id(step)] = self._add(step)
        return [place], [place]

    def store(self, name: str, on_success: Any, on_complete: Any) -> Flow:
        """Store everything, with what comes at the end."""
        if not self.nodes:
            raise ValueError("a flow needs at least one task; there is none in it")
        self._check()
        best = min(node.new_task.priority for node in self.nodes) - 1
        everything = list(range(len(self.nodes)))
        waited_for = {parent for parent, _ in self.edges}
        ends = [place for place in everything if place not in waited_for]
        success = complete = None
        if on_success is not None:
            success = self._add_callback(on_success, ends, _CANCEL, best)
        if on_complete is not None:
            complete = self._add_callback(on_complete, everything, _RUN, best)
        return store_flow(name, self.nodes, self.edges, on_success=success, on_complete=complete)

    def _draw_chain(self, steps: Sequence[Any]) -> tuple[list[int], list[int]]:
        begins: list[int] = []
        ends: list[int] = []
        for step in steps:
            step_begins, step_ends = self.draw(step)
            if not step_begins:
                continue
            if ends:
                self._connect(ends, step_begins)
            begins = begins or step_begins
            ends = step_ends
        return begins, ends

    def _draw_group(self, steps: Sequence[Any]) -> tuple[list[int], list[int]]:
        drawn = [self.draw(step) for step in steps]
        begins = dict.fromkeys(place for step_begins, _ in drawn for place in step_begins)
        ends = dict.fromkeys(place for _, step_ends in drawn for place in step_ends)
        return list(begins), list(ends)

    def _connect(self, parents: Sequence[int], children: Sequence[int]) -> None:
        if len(parents) > 1 and len(children) > 1:
            queue_name = self.nodes[parents[0]].new_task.queue_name
            between = self._append(Node(joint(queue_name), self.policy), "")
            self._connect(parents, [between])
            self._connect([between], children)
            return
        self.edges.update(dict.fromkeys((p, c) for p in parents for c in children))

    def _add(self, step: Storable) -> int:
        return self._append(Node(self._task_of(step), self.policy), type(step).__name__)

    def _add_callback(self, step: Any, parents: Sequence[int], policy: str, best: int) -> int:
        if not is_storable(step):
            refuse("on_success and on_complete take", step)
        new_task = self._task_of(step)
        new_task = new_task._replace(priority=min(best, new_task.priority))
        place = self._append(Node(new_task, policy), type(step).__name__)
        self.edges.update(dict.fromkeys((parent, place) for parent in parents))
        return place

    def _task_of(self, step: Storable) -> NewTask:
        return step.as_new_task(creator=self.creator, tags=self.tags)

    def _append(self, node: Node, name: str) -> int:
        self.nodes.append(node)
        self.names.append(name)
        return len(self.nodes) - 1

    def _check(self) -> None:
        graph: dict[int, list[int]] = {}
        for parent, child in self.edges:
            graph.setdefault(child, []).append(parent)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = [place for place in error.args[1] if self.names[place]]
            way = " → ".join(f"{self.names[place]} (step {place + 1})" for place in circle)
            raise ValueError(
                f"the flow leads back to its own beginning: {way}. A processor that stands in two "
                "places is one task; make one for each time that it is to run"
            ) from None
