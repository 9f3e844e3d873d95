"""A module that nobody installs: to import it, or anything in it, leaves a mark."""

import os
from pathlib import Path
from typing import Any

Path(os.environ["PARTISAN_TEST_TRAP"]).write_text("imported")


class Trap:
    """What a forged row would like to have made and run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Path(os.environ["PARTISAN_TEST_TRAP"]).write_text("made")

    def run(self) -> None:
        Path(os.environ["PARTISAN_TEST_TRAP"]).write_text("run")
