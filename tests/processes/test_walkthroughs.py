"""What the README and the tutorial tell their readers to do works, and shows what they say."""

from pathlib import Path

import pytest

from tests.walkthrough import Walkthrough

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.sqlite


def test_the_start_in_the_readme_works_in_an_empty_project(tmp_path: Path) -> None:
    Walkthrough(tmp_path).follow(ROOT / "README.rst")
