"""The measures of `make bench` run end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from tests.settings import ROOT
from tests.support.helpers import command_environment
from tools.database_urls import database_url

EVERYTHING = {"drain", "tasks", ".delay()", ".delay_many()", "pick-up", "idle"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("options", "sections", "measured"),
    [([], 1, EVERYTHING), (["--only=drain", f"--against={ROOT}", "--rounds=1"], 2, {"drain"})],
    ids=["everything", "two trees in turn"],
)
def test_a_quick_bench_measures_and_writes_it_down(
    options: list[str], sections: int, measured: set[str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'unused.sqlite3'}"
    if connection.vendor == "postgresql":
        url = database_url(connection.settings_dict, "postgres")
    output = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "bench", "--quick", f"--database={url}"]
    done = subprocess.run(
        [*command, f"--json={output}", *options],
        cwd=ROOT,
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())["databases"].values()
    assert len(found) == sections
    for section in found:
        names = [figure["measure"] for figure in section["figures"]]
        assert {name.split(",")[0].split(" ")[0] for name in names} == measured
        assert all(name in done.stdout for name in names)
