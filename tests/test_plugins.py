"""Plugins that cannot be loaded. Those that can be are tested with the example package of the docs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]


def test_a_plugin_that_cannot_be_loaded_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no such thing\\nas this')\n")
    facts = tmp_path / "broken_plugin-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[mmbench.plugins]\nbroken = broken_plugin\n")
    paths = os.pathsep.join([str(tmp_path), str(TOP)])
    done = subprocess.run(
        [sys.executable, "-m", "mmbench", "transfer", "--list", "--task", "knn"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "knn/patterns@2*" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "the plugin 'broken' of broken-plugin cannot be loaded and is left out" in done.stderr
