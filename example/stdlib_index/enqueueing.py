"""What is put into the queue: every file that is not indexed, and its package's follow-up."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from django.db import transaction
from django.db.models import Q

from django_partisan import registry
from django_partisan.models import Task
from stdlib_index.models import Module, Package
from stdlib_index.partisan_tasks import IndexModule, SummarizePackage
from stdlib_index.sources import SourceFile, find_sources


def enqueue(limit: int | None = None, package: str | None = None) -> int:
    """Enqueue what is neither indexed nor waiting, running or in error; return how many files.

    Calling it twice enqueues nothing twice: a second call takes up what the first left out. Files
    in error are left to a person, who can retry them in the admin.
    """
    found = _by_package(file for file in find_sources() if package in (None, file.package))
    known = _known_paths()
    fresh = (file for files in found.values() for file in files if file.path not in known)
    chosen = _by_package(islice(fresh, limit))
    for name, files in chosen.items():
        _enqueue_package(name, files, files_found=len(found[name]))
    return sum(map(len, chosen.values()))


def _by_package(files: Iterable[SourceFile]) -> dict[str, list[SourceFile]]:
    packages: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        packages[file.package].append(file)
    return packages


def _known_paths() -> set[str]:
    known = set(Module.objects.values_list("path", flat=True))
    tasks = Task.objects.filter(
        ~Q(status=Task.STATUS_FINISHED),
        processor_class=registry.registry.stored_name(IndexModule),
    )
    arguments = tasks.values_list("arguments", flat=True)
    return known.union(argument["kwargs"]["path"] for argument in arguments)


@transaction.atomic
def _enqueue_package(name: str, files: list[SourceFile], *, files_found: int) -> None:
    """Write the package, its tasks and its follow-up together: nobody ever sees half of them."""
    Package.objects.update_or_create(
        name=name, defaults={"files": files_found, "summarized_at": None}
    )
    for file in files:
        IndexModule(path=file.path, package=file.package).delay()
    SummarizePackage(package=name).delay()
