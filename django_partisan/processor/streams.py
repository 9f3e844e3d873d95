"""What an IterationProcessor iterates over: each item with the cursor to go on from behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable

from django_partisan.config.wording import shown

Stream = Iterator[tuple[Any, Any]]


def stream_of(items: Any, cursor: Any, batch: int, name: str) -> Stream:
    """Return the items behind a cursor, each with its own.

    A query set goes by its primary keys, ``batch`` at a time; a sequence by the number of what is
    done. Any other iterable has to begin behind the cursor itself, and gives pairs of an item and
    its cursor. ``name`` is of the method that has returned it. Raises TypeError or ValueError, with
    a remedy, for what cannot be iterated like that.
    """
    if isinstance(items, QuerySet):
        return _by_keys(_checked(items, name), cursor, batch)
    if isinstance(items, Sequence) and not isinstance(items, (str, bytes)):
        return _by_place(items, cursor)
    if isinstance(items, Iterable) and not isinstance(items, (str, bytes, dict)):
        return _pairs(items, name)
    raise TypeError(
        f"{name} must return a query set, a list, or an iterator over pairs of an item and its "
        f"cursor, got {shown(items)}"
    )


def length_of(items: Any) -> int | None:
    """Return how many items there are in all; None where nobody can tell without iterating."""
    if isinstance(items, QuerySet):
        return items.order_by().count()
    return len(items) if isinstance(items, Sequence) else None


def _checked(items: QuerySet[Any], name: str) -> QuerySet[Any]:
    if items.query.is_sliced or items.query.combinator:
        raise ValueError(
            f"{name} returned a query set that is sliced, or a union: such a one cannot go on "
            "behind a primary key. Return one that is filtered, or a list of primary keys."
        )
    if not issubclass(items._iterable_class, ModelIterable):  # noqa: SLF001 - nothing else tells
        raise TypeError(
            f"{name} returned values() or values_list(): it takes objects, which have their "
            "primary keys. Use only() to read fewer columns."
        )
    key = _key_of(items)
    if set(items.query.order_by) - {"pk", key.attname, key.name}:
        raise ValueError(
            f"{name} returned a query set in an order of its own: it goes by primary keys, so that "
            "it can go on behind one. Leave order_by() out, or yield (item, cursor) yourself."
        )
    return items


def _by_keys(items: QuerySet[Any], cursor: Any, batch: int) -> Stream:
    key, last = _key_of(items), object()
    after = cursor if cursor is None else _read(key, cursor)
    while True:
        rows = items if after is None else items.filter(pk__gt=after)
        # A list: no cursor of the database stays open while items are at work.
        found: list[Model] = list(rows.order_by("pk")[:batch])
        for item in found:
            if item.pk != last:  # A join may give the same object several times.
                last = after = item.pk
                yield item, _written(key, item)
        if len(found) < batch:
            return


def _key_of(items: QuerySet[Any]) -> Any:
    return items.model._meta.pk  # noqa: SLF001 - Django's documented interface


def _written(key: Any, item: Model) -> Any:
    pk = item.pk
    if isinstance(pk, tuple):
        return list(pk)
    return pk if isinstance(pk, (int, str)) else key.value_to_string(item)


def _read(key: Any, cursor: Any) -> Any:
    return tuple(cursor) if isinstance(cursor, list) else key.to_python(cursor)


def _by_place(items: Sequence[Any], cursor: Any) -> Stream:
    for place in range(cursor or 0, len(items)):
        yield items[place], place + 1


def _pairs(items: Iterable[Any], name: str) -> Stream:
    return (_pair(one, name) for one in items)


def _pair(one: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(one, tuple) or len(one) != _PAIR:
        raise TypeError(
            f"{name} must give pairs of an item and the cursor to go on from behind it, got "
            f"{shown(one)}"
        )
    return one


_PAIR = 2
