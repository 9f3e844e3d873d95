"""The index in Django's admin."""

from django.contrib import admin

from stdlib_index.models import Module, Package


@admin.register(Package)
class PackageAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Packages with their sums."""

    list_display = ("name", "files", "modules_count", "lines", "summarized_at")


@admin.register(Module)
class ModuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Modules with their numbers."""

    list_display = ("path", "lines", "functions", "classes", "documented", "documentable")
    list_filter = ("package",)
    search_fields = ("path",)
