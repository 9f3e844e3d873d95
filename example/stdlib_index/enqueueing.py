"""What is put into the queue: one flow of every file that is not indexed, and of what follows."""

import platform
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from django.db import transaction
from django.db.models import Q

from django_partisan import registry
from django_partisan.flows import chain, group
from django_partisan.models import Task
from stdlib_index.models import Module, Package
from stdlib_index.partisan_tasks import IndexModule, PublishReport, SummarizePackage
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
    if chosen:
        _enqueue_flow(chosen, found)
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
def _enqueue_flow(chosen: dict[str, list[SourceFile]], found: dict[str, list[SourceFile]]) -> None:
    """Write the packages and the flow together: nobody ever sees half of them."""
    for name in chosen:
        Package.objects.update_or_create(
            name=name, defaults={"files": len(found[name]), "summarized_at": None}
        )
    packages = group(_steps_of(name, files) for name, files in chosen.items())
    # A file that is not Python ends in error, and its package is added up all the same.
    chain(packages, PublishReport()).delay(
        name=f"Python {platform.python_version()}", on_dependency_failure="run"
    )


def _steps_of(name: str, files: list[SourceFile]) -> chain:
    modules = group(IndexModule(path=file.path, package=file.package) for file in files)
    return chain(modules, SummarizePackage(package=name))
