"""The pages render, with a number of queries that does not grow with the index."""

from django.test import TestCase
from django.utils import timezone

from django_partisan.models import Attempt, Task
from stdlib_index.models import Module, Package
from stdlib_index.treemap import treemap

INDEX_MODULE = "stdlib_index.partisan_tasks.IndexModule"
NUMBERS = {"lines": 1200, "functions": 3, "classes": 2, "documentable": 4, "documented": 3}


def add_package(name: str, modules: int = 2) -> Package:
    """Store a package that has been added up."""
    package = Package.objects.create(
        name=name, files=modules, modules_count=modules, summarized_at=timezone.now(), **NUMBERS
    )
    for number in range(modules):
        path = f"{name}/part{number}.py"
        Module.objects.create(path=path, package=package, indexed_at=timezone.now(), **NUMBERS)
    return package


def add_task(status: str, path: str) -> Task:
    """Store a task of one file."""
    return Task.objects.create(
        processor_class=INDEX_MODULE,
        status=status,
        arguments={"args": [], "kwargs": {"path": path, "package": path.split("/", maxsplit=1)[0]}},
    )


class PageTests(TestCase):
    """What a visitor sees."""

    def test_an_empty_index_says_how_to_fill_it(self) -> None:
        """Before the first task."""
        self.assertContains(self.client.get("/"), "index_stdlib")

    def test_the_overview_shows_totals_packages_and_failures(self) -> None:
        """With a link to the task that failed."""
        add_package("json")
        task = add_task(Task.STATUS_ERROR, "json/bad.py")
        Attempt.objects.create(
            task=task, number=1, lease=1, outcome="failed", error_type="SyntaxError", message="odd"
        )
        page = self.client.get("/")
        for text in ("2,400", "75", "json/bad.py", "SyntaxError", f"/task/{task.pk}/change/"):
            self.assertContains(page, text)
        self.assertNotContains(page, "http-equiv")

    def test_it_refreshes_itself_while_tasks_are_waiting(self) -> None:
        """And shows how far it is."""
        Package.objects.create(name="json", files=5)
        add_task(Task.STATUS_NEW, "json/decoder.py")
        page = self.client.get("/")
        self.assertContains(page, 'http-equiv="refresh"')
        self.assertContains(page, "0 of 1 tasks done")
        self.assertContains(page, "of 5 files")

    def test_the_number_of_queries_does_not_grow(self) -> None:
        """Five for the overview and five for a package, however much there is to show."""
        for number in range(30):
            add_package(f"package{number}")
            add_task(Task.STATUS_ERROR, f"package{number}/bad.py")
        with self.assertNumQueries(5):
            self.client.get("/")
        with self.assertNumQueries(5):
            self.client.get("/package/package7/")

    def test_a_package_shows_its_modules(self) -> None:
        """And an unknown one is not found."""
        page = self.client.get(add_package("(single modules)").get_absolute_url())
        self.assertContains(page, "part1")
        self.assertEqual(self.client.get("/package/nothing/").status_code, 404)


class TreemapTests(TestCase):
    """The map's geometry."""

    def test_tiles_are_as_large_as_their_weights_and_cover_the_map(self) -> None:
        """Nothing is left over, and nothing weightless is drawn."""
        weights = {"a": 60.0, "b": 25.0, "c": 10.0, "d": 5.0, "e": 0.0}
        tiles = treemap(list(weights.items()), 100, 40)
        self.assertEqual([tile.item for tile in tiles], ["a", "b", "c", "d"])
        for tile in tiles:
            self.assertAlmostEqual(tile.width * tile.height / 100, weights[tile.item])
            self.assertLessEqual(tile.left + tile.width, 100.001)
            self.assertLessEqual(tile.top + tile.height, 100.001)

    def test_nothing_has_an_empty_map(self) -> None:
        """No division by zero."""
        self.assertEqual(treemap([], 100, 40), [])
