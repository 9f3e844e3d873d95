"""A map of areas: rectangles as large as their weights and as square as they can be.

Source: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Sized = tuple[T, float]


@dataclass(frozen=True, kw_only=True)
class Tile(Generic[T]):
    """One rectangle of the map, in per cent of the map's width and height."""

    item: T
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class _Space:
    """The part of the map that is still free."""

    left: float
    top: float
    width: float
    height: float


def treemap(weighted: Sequence[Sized[T]], width: float, height: float) -> list[Tile[T]]:
    """Lay out the items, heaviest first, on a map of the given proportions.

    Items without weight are left out.
    """
    total = sum(weight for _, weight in weighted)
    scale = width * height / total if total else 0
    areas = sorted(
        ((item, weight * scale) for item, weight in weighted if weight > 0),
        key=lambda sized: -sized[1],
    )
    space = _Space(left=0, top=0, width=width, height=height)
    tiles: list[Tile[T]] = []
    while areas:
        row = _best_row(areas, min(space.width, space.height))
        laid, space = _lay(row, space)
        tiles.extend(laid)
        areas = areas[len(row) :]
    return [_in_per_cent(tile, width, height) for tile in tiles]


def _best_row(areas: Sequence[Sized[T]], side: float) -> Sequence[Sized[T]]:
    """Return the longest row along ``side`` that is no less square than the row before it."""
    length = 1
    while length < len(areas) and _worst(areas[: length + 1], side) <= _worst(areas[:length], side):
        length += 1
    return areas[:length]


def _worst(row: Sequence[Sized[T]], side: float) -> float:
    """Return the worst ratio of long to short edge in a row."""
    depth = sum(area for _, area in row) / side
    return max(max(area / depth**2, depth**2 / area) for _, area in row)


def _lay(row: Sequence[Sized[T]], space: _Space) -> tuple[list[Tile[T]], _Space]:
    """Place a row along the shorter side of the free space; return it and what stays free."""
    if space.width < space.height:
        turned, rest = _lay(row, _turn(space))
        return [_turn_tile(tile) for tile in turned], _turn(rest)
    depth = sum(area for _, area in row) / space.height
    tiles, top = [], space.top
    for item, area in row:
        edge = area / depth
        tiles.append(Tile(item=item, left=space.left, top=top, width=depth, height=edge))
        top += edge
    rest = _Space(
        left=space.left + depth, top=space.top, width=space.width - depth, height=space.height
    )
    return tiles, rest


def _turn(space: _Space) -> _Space:
    return _Space(left=space.top, top=space.left, width=space.height, height=space.width)


def _turn_tile(tile: Tile[T]) -> Tile[T]:
    return Tile(item=tile.item, left=tile.top, top=tile.left, width=tile.height, height=tile.width)


def _in_per_cent(tile: Tile[T], width: float, height: float) -> Tile[T]:
    return Tile(
        item=tile.item,
        left=100 * tile.left / width,
        top=100 * tile.top / height,
        width=100 * tile.width / width,
        height=100 * tile.height / height,
    )
