"""The registry of processors: `register`, the `registry` object, `autodiscover`."""

from django_partisan.registry.autodiscover import autodiscover, initialize_processors
from django_partisan.registry.registry import Registry, register, registry

__all__ = ["Registry", "autodiscover", "initialize_processors", "register", "registry"]
