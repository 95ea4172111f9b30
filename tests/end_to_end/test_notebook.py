from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the notebook as the site does, in an empty folder with an empty home."""
    project = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("notebook")
    outcome = folder / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", RUN, project / "docs" / "notebooks" / "first_look.ipynb", outcome],
        env={**os.environ, **ONE_THREAD, "HOME": str(folder), "PYTHONWARNINGS": "default"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(outcome.read_text(encoding="utf-8")))


def outputs_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_the_notebook_runs_and_shows_objects_tables_and_drawings(executed: dict[str, Any]) -> None:
    shown = [output["data"] for output in outputs_of(executed) if "data" in output]
    tables = ["".join(data["text/html"]) for data in shown if "text/html" in data]
    for words in ("Visit with 3 runs", "Quality: ", "Features: ", "Model first-look", "CAPS-5 percent improvement"):
        assert any(words in table for table in tables), words
    scored = next(table for table in tables if "CAPS-5 percent improvement:" in table)
    assert "ketamine" in scored
    assert "Research use only." in scored
    assert len([data for data in shown if "image/svg+xml" in data]) == 2


def test_it_says_nothing_on_the_error_stream_but_progress(executed: dict[str, Any]) -> None:
    streams = ["".join(output["text"]) for output in outputs_of(executed) if output.get("name") == "stderr"]
    assert not [text for text in streams if "Warning" in text or "Error" in text]


def test_it_names_no_person_but_the_one_asked_for_and_no_place_of_the_machine(executed: dict[str, Any]) -> None:
    plain = json.dumps([output.get("data", {}).get("text/plain", "") for output in outputs_of(executed)])
    assert "/tmp" not in plain
    assert str(Path.home()) not in plain
