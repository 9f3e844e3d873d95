"""The two pages of the index, each with a fixed number of queries, and the report as a file."""

import platform

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render

from stdlib_index.models import Package
from stdlib_index.queries import failures, library_totals, packages_by_size, queue_counts
from stdlib_index.report import read_report
from stdlib_index.treemap import treemap

MAP_WIDTH, MAP_HEIGHT = 100, 38


def overview(request: HttpRequest) -> HttpResponse:
    """Show the whole library: totals, a map, the packages, what failed, the work still to do."""
    packages = packages_by_size()
    context = {
        "python": platform.python_version(),
        "totals": library_totals(),
        "queue": queue_counts(),
        "packages": packages,
        "largest": packages[0].lines if packages else 0,
        "tiles": treemap([(each, each.lines) for each in packages], MAP_WIDTH, MAP_HEIGHT),
        "failures": failures(),
    }
    return render(request, "stdlib_index/overview.html", context)


def package(request: HttpRequest, name: str) -> HttpResponse:
    """Show one package with its modules, largest first, and its files that failed."""
    found = get_object_or_404(Package, pk=name)
    modules = list(found.modules.order_by("-lines", "path"))
    context = {
        "package": found,
        "modules": modules,
        "largest": modules[0].lines if modules else 0,
        "queue": queue_counts(),
        "failures": failures(package=name),
    }
    return render(request, "stdlib_index/package.html", context)


def report(request: HttpRequest) -> JsonResponse:  # noqa: ARG001, every view is given its request
    """Hand out the report that the workers write."""
    return JsonResponse(read_report(), json_dumps_params={"indent": 2, "sort_keys": True})
