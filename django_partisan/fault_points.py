"""Labelled points at which a test of faults may strike; to anybody else, a call that does nothing.

The environment variable PARTISAN_FAULT_POINTS names, as ``module:function``, what is called with
the label of every point that a process reaches. It is read once, when this module is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Final

VARIABLE: Final = "PARTISAN_FAULT_POINTS"
"""The environment variable that names what is called at each point."""


def _nothing(label: str) -> None:
    """Do nothing, as everywhere but in tests."""


def _chosen() -> Callable[[str], None]:
    module, _, function = os.environ.get(VARIABLE, "").partition(":")
    return getattr(import_module(module), function) if module else _nothing


reach: Final = _chosen()
"""Says that this process has come to the point with this label."""
