"""`make sbom` lists every package that the service is installed from, with the hashes that installation checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOL = PROJECT / ".venv/bin/cyclonedx-py"

pytestmark = pytest.mark.skipif(not (TOOL.exists() and shutil.which("make")), reason="needs make and cyclonedx-bom")


def pinned() -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes of every requirement."""
    found = {}
    text = (PROJECT / "requirements/runtime.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if entry := re.match(r"([\w.-]+)==([^\s;]+)", line):
            found[entry[1]] = (entry[2], set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)))
    return found


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the command of the Makefile writes, to a folder of its own."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    rule = re.search(r"^sbom:.*\n\t@?(.+)$", makefile, re.MULTILINE)
    assert rule is not None
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = rule[1].replace("$(BIN)", ".venv/bin").replace("-o sbom.json", f"-o {file}")
    subprocess.run(["sh", "-c", command], cwd=PROJECT, check=True, capture_output=True)
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def hashes_of(component: dict[str, Any]) -> set[str]:
    """Return every SHA-256 that a component may have."""
    return {
        one["content"]
        for reference in component.get("externalReferences", [])
        for one in reference.get("hashes", [])
        if one["alg"] == "SHA-256"
    }


def test_every_pinned_package_is_listed_with_its_version_and_hashes(sbom: dict[str, Any]) -> None:
    listed = {item["name"]: item for item in sbom["components"]}
    expected = pinned()
    assert len(expected) > 80
    assert listed.keys() == expected.keys()
    for name, (version, hashes) in expected.items():
        assert listed[name]["version"] == version
        assert hashes, name
        assert hashes_of(listed[name]) == hashes, name


def test_it_says_what_it_describes_in_a_form_that_scanners_read(sbom: dict[str, Any]) -> None:
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "ketamine-response-predictor"
    assert all(item["purl"].startswith("pkg:pypi/") for item in sbom["components"])


def test_every_requirement_of_development_has_hashes_too() -> None:
    check: Callable[[str], bool] = lambda line: "==" in line and "--hash=sha256:" not in line  # noqa: E731
    for name in ("runtime", "dev"):
        text = (PROJECT / f"requirements/{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
        assert [line for line in text.splitlines() if check(line)] == []
