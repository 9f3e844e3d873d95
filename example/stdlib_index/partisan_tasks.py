"""The three processors of the index: one per file, one per package, one for the report."""

from dataclasses import asdict
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from django_partisan import registry
from django_partisan.config import const
from django_partisan.config.processor_configs import ErrorsHandleConfig
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
    """Add up a package once every file of it is indexed or has failed, which its flow waits for.

    Goes before the files, or each package would be added up only after those of all the others.
    """

    PRIORITY = 5

    def run(self) -> dict[str, int]:
        """Return the sums of all its modules, also of those that an earlier flow has indexed."""
        package = self.kwargs["package"]
        totals = _totals(package)
        Package.objects.filter(name=package).update(**totals, summarized_at=timezone.now())
        return totals


@registry.register
class PublishReport(BaseTaskProcessor):
    """Write what all packages have come to into the report, as the last step of a flow.

    Two flows may end at the same time, and only one can write. Whoever finds the file locked fails
    with ``BlockingIOError`` and is tried again a little later, each at its own moment.
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

    def run(self) -> int:
        """Write it and return how many packages are in it, or raise ``BlockingIOError``."""
        return publish(
            lambda: {
                each.name: _section(each) for each in Package.objects.exclude(summarized_at=None)
            }
        )


def _section(package: Package) -> dict[str, float]:
    sums = {name: getattr(package, name) for name in ("files", "modules_count", *SUMS)}
    return {**sums, "docstring_coverage": round(package.coverage, 1)}


def _totals(package: str) -> dict[str, int]:
    modules = Module.objects.filter(package_id=package)
    sums = {name: Sum(name, default=0) for name in SUMS}
    return modules.aggregate(modules_count=Count("pk"), **sums)
