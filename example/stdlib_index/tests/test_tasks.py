"""Enqueueing is idempotent and the processors do what they say."""

import fcntl
import tempfile
from io import StringIO
from pathlib import Path

from django.core.management import CommandError, call_command
from django.test import TestCase

from django_partisan.exceptions import PostponeTask
from django_partisan.models import Task
from stdlib_index.enqueueing import enqueue
from stdlib_index.models import Module, Package
from stdlib_index.partisan_tasks import IndexModule, PublishReport, SummarizePackage
from stdlib_index.report import read_report


def tasks_of(processor: type) -> list[Task]:
    """Return the tasks of one processor, oldest first."""
    name = f"{processor.__module__}.{processor.__qualname__}"
    return list(Task.objects.filter(processor_class=name).order_by("pk"))


def run_all_of(processor: type) -> None:
    """Run the waiting tasks of one processor in this process and mark them as finished."""
    for task in tasks_of(processor):
        processor(*task.arguments["args"], **task.arguments["kwargs"]).run()
        Task.objects.filter(pk=task.pk).update(status=Task.STATUS_FINISHED, unique_key=None)


class IndexTestCase(TestCase):
    """A test with a report of its own."""

    def setUp(self) -> None:
        """Point the report to an empty directory."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.report = Path(folder) / "report.json"
        self.enterContext(self.settings(STDLIB_REPORT=self.report))


class EnqueueTests(IndexTestCase):
    """``index_stdlib`` and what stands behind it."""

    def test_a_package_becomes_one_task_per_file_and_one_follow_up(self) -> None:
        """And a row for the package itself."""
        count = enqueue(package="json")
        self.assertEqual(len(tasks_of(IndexModule)), count)
        self.assertEqual(
            [t.arguments["kwargs"] for t in tasks_of(SummarizePackage)], [{"package": "json"}]
        )
        self.assertEqual(Package.objects.get().files, count)

    def test_a_second_call_enqueues_nothing(self) -> None:
        """Whether the first one's tasks wait, or are finished."""
        enqueue(package="json")
        self.assertEqual(enqueue(package="json"), 0)
        run_all_of(IndexModule)
        self.assertEqual(enqueue(package="json"), 0)

    def test_a_limit_is_continued_by_the_next_call(self) -> None:
        """The files of both calls together are all files."""
        self.assertEqual(enqueue(limit=2, package="json"), 2)
        rest = enqueue(package="json")
        self.assertEqual(len(tasks_of(IndexModule)), 2 + rest)

    def test_files_in_error_are_left_to_a_person(self) -> None:
        """They would fail the same way."""
        enqueue(package="json")
        Task.objects.update(status=Task.STATUS_ERROR)
        self.assertEqual(enqueue(package="json"), 0)

    def test_the_command_says_what_it_did(self) -> None:
        """Both times; and a negative limit is refused."""
        out = StringIO()
        call_command("index_stdlib", limit=1, package="json", stdout=out)
        call_command("index_stdlib", limit=0, package="json", stdout=out)
        self.assertEqual(out.getvalue(), "1 file enqueued.\nNothing new to enqueue.\n")
        with self.assertRaises(CommandError):
            call_command("index_stdlib", limit=-1)


class ProcessorTests(IndexTestCase):
    """The three processors."""

    def test_running_a_file_twice_leaves_one_module(self) -> None:
        """As a task may, after a crash."""
        Package.objects.create(name="json")
        for _ in range(2):
            IndexModule(path="json/decoder.py", package="json").run()
        module = Module.objects.get()
        self.assertGreater(module.lines, 100)
        self.assertEqual(str(module), "json.decoder")

    def test_a_package_waits_for_its_files_and_then_adds_up(self) -> None:
        """A waiting or running file holds it back; one in error counts as done."""
        enqueue(package="json")
        for status in (Task.STATUS_NEW, Task.STATUS_IN_PROCESS):
            Task.objects.update(status=status)
            with self.assertRaises(PostponeTask):
                SummarizePackage(package="json").run()
        run_all_of(IndexModule)
        Task.objects.filter(pk=tasks_of(IndexModule)[0].pk).update(status=Task.STATUS_ERROR)
        totals = SummarizePackage(package="json").run()
        package = Package.objects.get()
        self.assertEqual(package.modules_count, Module.objects.count())
        self.assertEqual(package.lines, sum(Module.objects.values_list("lines", flat=True)))
        self.assertEqual(totals["lines"], package.lines)
        self.assertIsNotNone(package.summarized_at)
        self.assertEqual(len(tasks_of(PublishReport)), 1)

    def test_a_locked_report_is_an_error_that_is_retried(self) -> None:
        """And once the lock is gone, every section is kept."""
        for name in ("json", "xml"):
            Package.objects.create(name=name, lines=7)
        PublishReport(package="json").run()
        with self.report.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.assertRaises(BlockingIOError) as caught:
                PublishReport(package="xml").run()
        rules = PublishReport.RETRY_ON_ERROR_CONFIG
        assert rules is not None
        self.assertTrue(rules.matches(caught.exception))
        PublishReport(package="xml").run()
        self.assertEqual(
            {name: part["lines"] for name, part in read_report().items()}, {"json": 7, "xml": 7}
        )
