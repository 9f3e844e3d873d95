"""Draws the map of rooms: the floors of the import contract, and which room imports which.

``python -m tools.draw_map`` writes docs/explanation/map.svg. The rooms are those of the contract
"floors" in pyproject.toml; the arrows are the imports that stand in the package.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "django_partisan"
PICTURE = ROOT / "docs" / "explanation" / "map.svg"

WIDTH = 960
LEFT, RIGHT = 104, WIDTH - 8
"""Between them stand the rooms; left of them, the names of the floors."""
ROW_LENGTH = 6
"""So many rooms stand beside each other at most."""
BOX_WIDTH, BOX_HEIGHT = 134, 34
PADDING = 16
FLOOR_GAP = 46
PORT_GAP, LINE_GAP = 11, 6
"""How far apart arrows end at one box, and pass between two."""
# None is near black or white, so that the picture stands on either; neither are the greys.
COLOURS = ("#a8543f", "#8b6b1e", "#3c7a50", "#2f6f9f", "#6c62a6")
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #fff; text-anchor: middle }
  .floor { font-size: 15px; fill: #7f8892; text-anchor: start }
  .band { fill: #7f8892; fill-opacity: .14 }
  .note { font-size: 13px; fill: #7f8892 }
  .arrow { fill: none; stroke-width: 1.5 }"""
HEAD = (
    '<marker id="head{floor}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6"'
    ' orient="auto"><path fill="{colour}" d="M0 0 8 4 0 8z"/></marker>'
)
NOTE = "Every room may use the words: arrows to them are left out."


class Floor(NamedTuple):
    """One layer of the contract, from the top; strangers must not import each other."""

    name: str
    rooms: list[str]
    are_strangers: bool


class Arrow(NamedTuple):
    """An import of one room by another."""

    room: str
    imported: str


class Point(NamedTuple):
    """A place in the picture."""

    x: float
    y: float


# --- what is so


def floors() -> list[Floor]:
    """Return the floors of the contract, without the rooms that are not there yet."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    [contract] = [contract for contract in contracts if contract["id"] == "floors"]
    names = contract["name"].partition(": ")[2].partition(";")[0].split(", ")
    return [
        Floor(name, re.findall(r"(?:^|(?<= ))\w+", layer), "|" in layer)
        for name, layer in zip(names, contract["layers"], strict=True)
    ]


def arrows() -> set[Arrow]:
    """Return every import of one room by another, as it stands in the package."""
    rooms = {room for floor in floors() for room in floor.rooms}
    found = {
        Arrow(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), imported)
        for path in PACKAGE.rglob("*.py")
        for imported in _imported(path)
    }
    return {arrow for arrow in found if rooms.issuperset(arrow) and arrow.room != arrow.imported}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, *below = name.split(".")
            if package == PACKAGE.name and below:
                yield below[0]


# --- where it stands


class Layout:
    """Where each room stands, and how arrows get past those that they do not lead to."""

    def __init__(self, floors: list[Floor]) -> None:
        self.bands: list[tuple[float, float]] = []
        """Top and height of each floor."""
        self.corners: dict[str, Point] = {}
        """The upper left corner of each room."""
        self.floor_of: dict[str, int] = {}
        top = 0.0
        for number, floor in enumerate(floors):
            height = self._place(floor.rooms, number, top)
            self.bands.append((top, height))
            top += height + FLOOR_GAP
        self.height = top - FLOOR_GAP

    def _place(self, rooms: list[str], number: int, top: float) -> float:
        """Place the rooms of a floor, in rows where they are many; return its height."""
        y = top + PADDING
        for start in range(0, len(rooms), ROW_LENGTH):
            row = rooms[start : start + ROW_LENGTH]
            step = (RIGHT - LEFT) / len(row)
            for place, room in enumerate(row):
                x = LEFT + step * (place + 0.5) - BOX_WIDTH / 2
                self.corners[room], self.floor_of[room] = Point(x, y), number
            y += BOX_HEIGHT + PADDING
        return y - top

    def middle(self, room: str) -> float:
        """Return the middle of a room, from the left."""
        return self.corners[room].x + BOX_WIDTH / 2

    def gaps(self, floor: int) -> list[float]:
        """Return the middles between the rooms of a floor, and beside the outer ones."""
        rooms = [room for room, its_floor in self.floor_of.items() if its_floor == floor]
        middles = sorted(map(self.middle, rooms))
        step = (RIGHT - LEFT) / len(middles)
        between = [(left + right) / 2 for left, right in pairwise(middles)]
        return [middles[0] - step / 2 + LINE_GAP, *between, middles[-1] + step / 2 - LINE_GAP]

    def way(self, arrow: Arrow) -> list[tuple[int, float]]:
        """Return through which gap of each floor in between an arrow goes."""
        start, end = self.middle(arrow.room), self.middle(arrow.imported)
        first, last = self.floor_of[arrow.room], self.floor_of[arrow.imported]

        def nearest(floor: int) -> float:
            ideal = start + (end - start) * (floor - first) / (last - first)
            return min(self.gaps(floor), key=lambda gap: abs(gap - ideal))

        return [(floor, nearest(floor)) for floor in range(first + 1, last)]


def draw() -> str:
    """Return the picture as SVG."""
    contract = floors()
    layout = Layout(contract)
    shown = sorted(arrow for arrow in arrows() if arrow.imported not in contract[-1].rooms)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {layout.height:g}">',
        "<title>The rooms of django_partisan on their floors, and who imports whom</title>",
        f"<style>{STYLE}\n</style>",
        *(HEAD.format(floor=floor, colour=colour) for floor, colour in enumerate(COLOURS)),
        *(_band(floor.name, *band) for floor, band in zip(contract, layout.bands, strict=True)),
        *_paths(shown, layout),
        *(_box(room, layout.corners[room], layout.floor_of[room]) for room in layout.corners),
        f'<text class="note" x="{WIDTH / 2:g}" y="{layout.bands[-1][0] - 18:g}">{NOTE}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _band(name: str, top: float, height: float) -> str:
    rectangle = f'<rect class="band" y="{top:g}" width="{WIDTH}" height="{height:g}" rx="8"/>'
    return f'{rectangle}<text class="floor" x="14" y="{top + height / 2 + 5:g}">{name}</text>'


def _box(room: str, corner: Point, floor: int) -> str:
    x, y = corner
    size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{COLOURS[floor]}"'
    text = f'<text x="{x + BOX_WIDTH / 2:g}" y="{y + BOX_HEIGHT / 2 + 5:g}">{room}</text>'
    return f'<rect x="{x:g}" y="{y:g}" {size}/>{text}'


def _paths(shown: list[Arrow], layout: Layout) -> Iterator[str]:
    down = [a for a in shown if layout.floor_of[a.room] != layout.floor_of[a.imported]]
    down.sort(key=lambda arrow: (layout.middle(arrow.imported), layout.middle(arrow.room)))
    starts, ends = _ports(down, layout, end=0), _ports(down, layout, end=1)
    ways = _ways(down, layout)
    for arrow in shown:
        corner, imported = (layout.corners[room] for room in arrow)
        path = _sideways(corner, imported)
        if arrow in ways:
            start = Point(starts[arrow], corner.y + BOX_HEIGHT)
            path = _curve([start, *ways[arrow], Point(ends[arrow], imported.y)])
        floor = layout.floor_of[arrow.room]
        colour = f'stroke="{COLOURS[floor]}" marker-end="url(#head{floor})"'
        yield f'<path class="arrow" {colour} d="{path}"/>'


def _ports(down: list[Arrow], layout: Layout, end: int) -> dict[Arrow, float]:
    """Return where each arrow begins (end 0) or ends (1) at its room, so that few of them cross."""
    at_room = defaultdict(list)
    for arrow in sorted(down, key=lambda arrow: layout.middle(arrow[1 - end])):
        at_room[arrow[end]].append(arrow)
    return {
        arrow: layout.middle(room) + offset
        for room, met in at_room.items()
        for arrow, offset in zip(met, _offsets(len(met), PORT_GAP), strict=True)
    }


def _ways(down: list[Arrow], layout: Layout) -> dict[Arrow, list[Point]]:
    """Return the points at which each arrow enters and leaves the floors in between."""
    in_gap = defaultdict(list)
    for arrow in down:
        for floor, gap in layout.way(arrow):
            in_gap[floor, gap].append(arrow)
    ways: dict[Arrow, list[Point]] = {arrow: [] for arrow in down}
    for (floor, gap), passing in sorted(in_gap.items()):
        top, height = layout.bands[floor]
        for arrow, offset in zip(passing, _offsets(len(passing), LINE_GAP), strict=True):
            ways[arrow] += [Point(gap + offset, top), Point(gap + offset, top + height)]
    return ways


def _offsets(count: int, gap: float) -> list[float]:
    return [gap * (place - (count - 1) / 2) for place in range(count)]


def _curve(points: list[Point]) -> str:
    """Return a line that leaves and reaches each floor straight downwards."""
    steps = [f"M{points[0].x:g} {points[0].y:g}"]
    for before, after in pairwise(points):
        half = (before.y + after.y) / 2
        steps.append(f"C{before.x:g} {half:g} {after.x:g} {half:g} {after.x:g} {after.y:g}")
    return "".join(steps)


def _sideways(room: Point, imported: Point) -> str:
    is_right = room.x < imported.x
    start, end = (room.x + BOX_WIDTH, imported.x) if is_right else (room.x, imported.x + BOX_WIDTH)
    return f"M{start:g} {room.y + BOX_HEIGHT / 2:g}H{end:g}"


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print(f"map: {PICTURE.relative_to(ROOT)}")
