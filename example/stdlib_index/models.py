"""What the index keeps: packages and their modules."""

from django.db import models
from django.urls import reverse

from stdlib_index.sources import module_name


class Measured(models.Model):
    """The numbers that a module has of its own and a package has in sum."""

    lines = models.PositiveIntegerField(default=0)
    functions = models.PositiveIntegerField(default=0)
    classes = models.PositiveIntegerField(default=0)
    documentable = models.PositiveIntegerField(default=0)
    documented = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def coverage(self) -> float:
        """Return the percentage of public definitions that have a docstring."""
        return 100 * self.documented / self.documentable if self.documentable else 0.0


class Package(Measured):
    """A top-level package; its sums are written once, by ``SummarizePackage``."""

    name = models.CharField(max_length=100, primary_key=True)
    files = models.PositiveIntegerField(default=0, help_text="Source files found on disk.")
    modules_count = models.PositiveIntegerField(default=0, help_text="Files that could be parsed.")
    summarized_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of the package's page."""
        return reverse("package", args=[self.name])


class Module(Measured):
    """One source file that could be parsed."""

    id = models.BigAutoField(primary_key=True)
    path = models.CharField(max_length=255, unique=True)
    package = models.ForeignKey(Package, on_delete=models.CASCADE, related_name="modules")
    indexed_at = models.DateTimeField()

    class Meta:
        ordering = ("path",)

    def __str__(self) -> str:
        return module_name(self.path)
