"""The three processors of the index: one per file, one per package, one for the shared report."""

from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from django_partisan import registry
from django_partisan.config import const
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from stdlib_index.analysis import Analysis, analyse
from stdlib_index.models import Module, Package
from stdlib_index.report import publish
from stdlib_index.sources import library

SUMS = ("lines", "functions", "classes", "documentable", "documented")


@registry.register
class IndexModule(BaseTaskProcessor):
    """Measure one file and keep the result as a ``Module``.

    ``IndexModule(path="json/decoder.py", package="json").delay()``. A file that is not Python fails
    with the parser's own error, which is not retried: the file would be no better the next time.
    Running twice for one file, as a task may after a crash, leaves the same single row.
    """

    def run(self) -> dict[str, Any]:
        """Return the numbers, which the task keeps as its result."""
        path = self.kwargs["path"]
        analysis = analyse((library() / path).read_bytes(), filename=path)
        self._save(path, analysis)
        return asdict(analysis)

    def _save(self, path: str, analysis: Analysis) -> None:
        package = self.kwargs["package"]
        Module.objects.bulk_create(
            [Module(path=path, package_id=package, indexed_at=timezone.now(), **asdict(analysis))],
            update_conflicts=True,
            unique_fields=["path"],
            update_fields=[*SUMS, "package", "indexed_at"],
        )


@registry.register
class SummarizePackage(BaseTaskProcessor):
    """Add up a package as soon as every file of it is indexed or has failed.

    Asks to be run a second later while files are waiting or running. Goes before the files, or each
    package would be added up only after the files of all the others.
    """

    PRIORITY = 5
    POSTPONE_CONFIG = PostponeConfig(max_postpones=None)

    def run(self) -> dict[str, int]:
        """Return the sums, or raise ``PostponeTask``."""
        package = self.kwargs["package"]
        if has_unfinished_files(package):
            raise PostponeTask(1)
        totals = _totals(package)
        with transaction.atomic():
            Package.objects.filter(name=package).update(**totals, summarized_at=timezone.now())
            PublishReport(package=package).delay()
        return totals


@registry.register
class PublishReport(BaseTaskProcessor):
    """Put a package's sums into the report that all workers share.

    Only one of them can write at a time. Whoever finds the file locked fails with
    ``BlockingIOError`` and is tried again a little later, each at its own moment.
    """

    PRIORITY = 5
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(BlockingIOError,),
        retries_count=50,
        retry_pause=0.1,
        retry_pause_strategy=const.DELAY_STRATEGY_EXPONENTIAL,
        max_pause=2,
        jitter=0.5,
    )

    def run(self) -> None:
        """Write the section, or raise ``BlockingIOError``."""
        package = Package.objects.get(name=self.kwargs["package"])
        sums = {name: getattr(package, name) for name in ("files", "modules_count", *SUMS)}
        publish(package.name, {**sums, "docstring_coverage": round(package.coverage, 1)})


def has_unfinished_files(package: str) -> bool:
    """Say whether a file of the package still waits or runs; a file in error counts as done."""
    return Task.objects.filter(
        processor_class=registry.registry.stored_name(IndexModule),
        status__in=(Task.STATUS_NEW, Task.STATUS_IN_PROCESS),
        arguments__kwargs__package=package,
    ).exists()


def _totals(package: str) -> dict[str, int]:
    modules = Module.objects.filter(package_id=package)
    sums = {name: Sum(name, default=0) for name in SUMS}
    return modules.aggregate(modules_count=Count("pk"), **sums)
