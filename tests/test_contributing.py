from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    """Return a repository with a few of the project's files, and its tools where they are looked for."""
    for name in (".pre-commit-config.yaml", "pyproject.toml", ".ci/staged_files.py", "docs/notebooks/first_look.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / name, tmp_path / name)
    (tmp_path / "sound.py").write_text('"""A module that nobody would object to."""\n', encoding="utf-8")
    (tmp_path / ".gitignore").write_text(".venv\n", encoding="utf-8")
    (tmp_path / ".venv").symlink_to(project / ".venv")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    return tmp_path


def hooks(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without a network: every hook is local, so nothing may be fetched.
    offline = {"PRE_COMMIT_HOME": str(folder.parent / "pre-commit"), "https_proxy": "http://127.0.0.1:9"}
    # Of git's own variables none may lead to the real repository.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    program = folder / ".venv" / "bin" / "pre-commit"
    return subprocess.run(
        [program, "run", "--all-files", *arguments], cwd=folder, env=inherited | offline, capture_output=True, text=True
    )


def test_the_hooks_let_sound_files_pass_without_a_network(copied: Path) -> None:
    done = hooks(copied)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    for name in ("format", "lint", "no large files", "notebooks without outputs"):
        assert re.search(rf"{name}.*Passed", shown), shown


def test_each_hook_stops_what_it_is_there_for(copied: Path) -> None:
    (copied / "badly.py").write_text('"""A module."""\nimport os\nx = [1,\n2]\n', encoding="utf-8")
    (copied / "large.bin").write_bytes(bytes(700_000))
    path = copied / "docs" / "notebooks" / "first_look.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": ["sub-4711"]}]}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    git(copied, "add", "--all")
    done = hooks(copied)
    shown = done.stdout + done.stderr
    assert done.returncode == 1
    for name in ("format", "lint", "no large files", "notebooks without outputs"):
        assert re.search(rf"{name}.*Failed", shown), shown
    assert "sub-4711" not in path.read_text(encoding="utf-8")


def test_every_hook_is_local(project: Path) -> None:
    settings = yaml.safe_load((project / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [source["repo"] for source in settings["repos"]] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for source in settings["repos"] for hook in source["hooks"])


def test_the_committed_notebook_is_without_outputs(project: Path) -> None:
    for path in (project / "docs" / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_citation_is_whole_and_of_this_version(project: Path) -> None:
    citation = yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "version"} <= citation.keys()
    assert citation["version"] == metadata["version"]
    assert all(set(author) == {"name"} for author in citation["authors"])  # an entity, no invented person
    known = {"cff-version", "message", "type", "title", "abstract", "version", "authors", "keywords"}
    assert set(citation) <= known


def test_what_newcomers_are_told_to_type_and_open_exists(project: Path) -> None:
    text = (project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (project / name).exists(), name
    for name in re.findall(r"`((?:tests|predictor|docs)/[\w./]+)`", text):
        assert (project / name).exists(), name
