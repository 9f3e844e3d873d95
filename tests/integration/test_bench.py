"""The measures of `make bench` run end to end."""

import json
import subprocess
import sys
from pathlib import Path

from django.db import connection

from tests.helpers import command_environment
from tools.database_urls import database_url

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_bench_measures_two_trees_in_turn_and_writes_it_down(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'unused.sqlite3'}"
    if connection.vendor == "postgresql":
        url = database_url(connection.settings_dict, "postgres")
    command = [sys.executable, "-m", "benchmarks", "bench", "--quick", f"--database={url}"]
    done = subprocess.run(
        [*command, f"--json={tmp_path / 'figures.json'}", f"--against={ROOT}", "--rounds=1"],
        cwd=ROOT,
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "figures.json").read_text())["databases"]
    assert len(sections) == 2
    for section in sections.values():
        names = [figure["measure"] for figure in section["figures"]]
        measured = {name.split(",")[0].split(" ")[0] for name in names}
        assert measured == {"drain", "tasks", ".delay()", ".delay_many()", "pick-up", "idle"}
        assert all(name in done.stdout for name in names)
