"""Enqueueing is idempotent and the processors do what they say."""

import fcntl
import tempfile
from io import StringIO
from pathlib import Path

from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone

from django_partisan.flows import Flow
from django_partisan.models import Task
from stdlib_index.enqueueing import enqueue
from stdlib_index.models import Module, Package
from stdlib_index.partisan_tasks import IndexModule, PublishReport, SummarizePackage
from stdlib_index.queries import flow_progress
from stdlib_index.report import read_report


def tasks_of(processor: type) -> list[Task]:
    """Return the tasks of one processor, oldest first."""
    name = f"{processor.__module__}.{processor.__qualname__}"
    return list(Task.objects.filter(processor_class=name).order_by("pk"))


class IndexTestCase(TestCase):
    """A test with a report of its own."""

    def setUp(self) -> None:
        """Point the report to an empty directory."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.report = Path(folder) / "report.json"
        self.enterContext(self.settings(STDLIB_REPORT=self.report))

    def run_what_is_due(self, failing: int = 0) -> list[type]:
        """Run all tasks that are due, the first of them in vain; return their processors."""
        with self.captureOnCommitCallbacks(execute=True):
            tasks = Task.objects.select_for_process()
            for place, task in enumerate(tasks):
                if place < failing:
                    task.fail(SyntaxError("this is not Python"))
                else:
                    task.run()
                    task.complete()
        return [type(task.get_initialized_processor()) for task in tasks]


class EnqueueTests(IndexTestCase):
    """``index_stdlib`` and what stands behind it."""

    def test_a_package_becomes_one_task_per_file_and_two_that_wait(self) -> None:
        """In one flow; and a row for the package itself."""
        count = enqueue(package="json")
        self.assertEqual({task.status for task in tasks_of(IndexModule)}, {Task.STATUS_NEW})
        self.assertEqual(len(tasks_of(IndexModule)), count)
        for processor in (SummarizePackage, PublishReport):
            [task] = tasks_of(processor)
            self.assertEqual(task.status, Task.STATUS_WAITING)
        self.assertEqual(Flow.objects.get().total, count + 2)
        self.assertEqual(Package.objects.get().files, count)

    def test_a_second_call_enqueues_nothing(self) -> None:
        """Whether the first one's tasks wait, or are finished."""
        enqueue(package="json")
        self.assertEqual(enqueue(package="json"), 0)
        self.run_what_is_due()
        self.assertEqual(enqueue(package="json"), 0)
        self.assertEqual(Flow.objects.count(), 1)

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

    def test_a_package_is_added_up_when_its_files_have_ended_and_then_reported(self) -> None:
        """One in error counts as ended."""
        count = enqueue(package="json")
        self.assertEqual(set(self.run_what_is_due(failing=1)), {IndexModule})
        self.assertEqual(self.run_what_is_due(), [SummarizePackage])
        package = Package.objects.get()
        self.assertEqual(package.modules_count, count - 1)
        self.assertEqual(package.lines, sum(Module.objects.values_list("lines", flat=True)))
        self.assertIsNotNone(package.summarized_at)
        self.assertEqual(self.run_what_is_due(), [PublishReport])
        self.assertEqual(read_report()["json"]["lines"], package.lines)
        progress = flow_progress()
        self.assertTrue(progress.is_done)
        self.assertEqual((progress.total, progress.failed), (count + 2, 1))

    def test_what_a_limit_has_left_out_is_another_flow(self) -> None:
        """Which adds up all files of the package, not only its own."""
        enqueue(limit=2, package="json")
        rest = enqueue(package="json")
        while self.run_what_is_due():
            pass
        self.assertEqual(Flow.objects.count(), 2)
        self.assertEqual(Package.objects.get().modules_count, 2 + rest)
        self.assertEqual(flow_progress().done, rest + 2 + 2 * 2)

    def test_a_locked_report_is_an_error_that_is_retried(self) -> None:
        """And once the lock is gone, everything that has been added up is in it."""
        for name in ("json", "xml"):
            Package.objects.create(name=name, lines=7, summarized_at=timezone.now())
        Package.objects.create(name="wsgiref", lines=7)
        with self.report.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.assertRaises(BlockingIOError) as caught:
                PublishReport().run()
        rules = PublishReport.RETRY_ON_ERROR_CONFIG
        assert rules is not None
        self.assertTrue(rules.matches(caught.exception))
        self.assertEqual(PublishReport().run(), 2)
        self.assertEqual(
            {name: part["lines"] for name, part in read_report().items()}, {"json": 7, "xml": 7}
        )
