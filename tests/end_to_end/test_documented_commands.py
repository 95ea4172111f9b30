"""Every command of README and docs is run, page by page and in order, or says why it is not.

A page begins in an empty folder with the files of a clone that it may name. Pages that go on where the quick start
ended get what it left; pages that begin with the reader's own data get the same synthetic trial under the names that
they use. Everything is synthetic and small; see `documented_page.py` for what pages can say.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from predictor.__main__ import build_parser

PROJECT = Path(__file__).resolve().parents[2]


def _neighbour(name: str) -> ModuleType:
    """Load a module that lies beside this one: tests have no packages."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up annotations
    spec.loader.exec_module(module)
    return module


documented_page, page_reader = _neighbour("documented_page"), _neighbour("page_reader")

QUICK_START = "docs/quick_start.md"
# Files of the clone that pages name.
OF_THE_CLONE = ("experiments", "predictor", "requirements", "pyproject.toml")
# What pages begin with, besides those; see `_lay_out`.
BEGINS_WITH: dict[str, tuple[str, ...]] = {
    "README.md": ("own data",),
    "docs/deployment.md": ("mlruns",),
    "docs/experiment_log.md": ("mlruns",),
    "docs/tutorials/score_a_scan.md": ("trial", "sample", "features", "bundle"),
    "docs/tutorials/train_and_compare.md": ("trial", "features", "first.toml", "mlruns"),
    "docs/tutorials/deploy.md": ("trial", "sample", "features", "first.toml"),
    "docs/tutorials/scale_out.md": ("trial", "features", "first.toml"),
    "docs/how_to/access_keys.md": ("bundle",),
    "docs/how_to/compare_experiments.md": ("trial", "features", "first.toml", "mlruns"),
    "docs/how_to/model_card.md": ("trial", "features", "first.toml", "bundle", "mlruns"),
    "docs/how_to/own_features_table.md": ("table",),
    "docs/how_to/own_outcome.md": ("table",),
    "docs/how_to/own_regions.md": ("trial",),
    "docs/how_to/own_task_names.md": ("trial",),
    "docs/how_to/promote_and_roll_back.md": ("mlruns",),
    "docs/how_to/read_a_report.md": ("mlruns",),
    "docs/how_to/recipe_changed.md": ("trial", "bundle"),
    "docs/how_to/reference_cohort.md": ("table",),
    "docs/how_to/harmonise_sites.md": ("table",),
}
# Why a block may be for readers only.
REASONS = ("installs", "needs containers", "needs a cluster", "needs real data", "takes", "listens", "needs a champion",
           "needs a network", "needs your", "changes the shell", "it installs")  # fmt: skip
NEEDED = ("curl", "openssl", "createdb")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, which is not installed")


def pages() -> list[str]:
    """Return every page with commands, README first."""
    found = [PROJECT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += sorted((PROJECT / "docs").rglob("*.md"))
    names = [str(path.relative_to(PROJECT)) for path in found if path.is_file() and documented_page.blocks_of(path)]
    return [name for name in names if not name.startswith("docs/_")]


def blocks_that_run(page: str) -> list[Any]:
    return [block for block in documented_page.blocks_of(PROJECT / page) if block.no_run is None]


PAGES = [page for page in pages() if blocks_that_run(page)]


@pytest.fixture(scope="session")
def quick_start(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Path:
    """Return the folder of a reader who followed the quick start; one for all processes of the tests."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    place = shared / "quick-start"
    with (shared / "quick-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            place.mkdir()
            _lay_out_clone(place)
            fault = follow(QUICK_START, page_reader.PageReader(place, free_port))
            (place / "fault.json").write_text(json.dumps(fault))
    return place


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Any]:
    """Return a reader at the beginning of a page."""
    page = request.getfixturevalue("page")
    missing = [name for name in NEEDED if shutil.which(name) is None and name in (PROJECT / page).read_text()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which is not installed")
    here = page_reader.PageReader(tmp_path, free_port)
    _lay_out_clone(tmp_path)
    if BEGINS_WITH.get(page):
        _lay_out(tmp_path, BEGINS_WITH[page], request.getfixturevalue("quick_start"))
    if any("postgresql" in statement for block in blocks_that_run(page) for statement in block.statements):
        here.replaced |= _databases(request.getfixturevalue("postgresql"))
    if page == "docs/experiment_log.md":  # its experiment is that of `make run`
        here.replaced["baseline-prediction"] = "first-try"
    yield here
    here.stop()


@pytest.mark.parametrize("page", [page for page in PAGES if page != QUICK_START])
def test_every_command_of_the_page_does_what_the_page_says(page: str, reader: Any) -> None:
    fault = follow(page, reader)
    assert fault is None, fault


def test_every_command_of_the_quick_start_does_what_the_page_says(quick_start: Path) -> None:
    fault = json.loads((quick_start / "fault.json").read_text())
    assert fault is None, fault


def test_what_is_not_run_says_why() -> None:
    reasons = {
        f"{page}:{block.line}": block.no_run
        for page in pages()
        for block in documented_page.blocks_of(PROJECT / page)
        if block.no_run is not None
    }
    assert reasons
    assert {place: reason for place, reason in reasons.items() if not reason.startswith(REASONS)} == {}


@pytest.mark.parametrize("page", PAGES)
def test_nothing_that_is_run_installs_or_starts_what_a_test_must_not(page: str) -> None:
    forbidden = ("make ", "docker ", "apt", "pip install", "git ", "sudo ", "sbatch", "pytest")
    statements = [one for block in blocks_that_run(page) for one in block.statements]
    assert [one for one in statements if one.startswith(forbidden)] == [], "mark the block `sh no-run REASON`"


@pytest.mark.parametrize("page", pages())
def test_commands_that_are_not_run_are_at_least_ones_that_krp_takes(page: str) -> None:
    blocks = [block for block in documented_page.blocks_of(PROJECT / page) if block.no_run is not None]
    for statement in (one for block in blocks for one in block.statements if one.startswith("krp ")):
        words = shlex.split(statement.replace("\\\n", " ").split(">")[0].rstrip(" &"), comments=True)
        assert callable(build_parser().parse_args(words[1:]).run), statement


def test_commands_over_several_lines_are_taken_whole() -> None:
    text = "krp check \\\n  here\n# a remark\n\ncat > a.toml <<'END'\nname = 1\n\nEND\n"
    loop = "for n in 1 2; do\n  echo $n\ndone\nls"
    found = list(documented_page.statements_of((text + loop).splitlines()))
    assert [one.splitlines()[0] for one in found] == ["krp check \\", "cat > a.toml <<'END'", "for n in 1 2; do", "ls"]
    assert found[1].endswith("\n\nEND")


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("one\n...\nthree", None),
        ("two ... 4 s", None),
        ("three\none", "one"),
        ("two in 4", "two in 4"),
        ("four", "four"),
    ],
)
def test_what_a_page_shows_must_be_printed_in_its_order(shown: str, missing: str | None) -> None:
    assert documented_page.unprinted(shown, "one\ntwo   in 4 s\nthree\n") == missing


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```sh\necho $(( 1 + 1 ))\n```\n```text\n2\n```", None),
        ("```sh\nfalse\n```", "false\nended with 1"),
        ("```sh\nfalse  # exit code 1\n```", None),
        ("```sh\necho done  # exit code 4\n```", "ended with 0"),
        ("```sh\nkrp extract\n```", "krp extract\nended with 2"),
        ('```sh\nword=$(echo two)\ntest "$word" = two\n```', None),
        ("```sh\necho a > b\nkrp --version > c\ncat b c\n```\n```text\na\nkrp ...\n```", None),
        ("```sh\necho 1\n```\n```text\n2\n```", "shows\n2\nbut"),
        ("```sh no-run needs your data\nfalse\n```", None),
    ],
)
def test_a_page_that_is_wrong_is_found(
    text: str, fault: str | None, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    found = follow(str(page), page_reader.PageReader(tmp_path, free_port))
    assert (found is None) == (fault is None), found
    assert fault is None or fault in str(found)


def follow(page: str, reader: Any) -> str | None:
    """Run a page's commands in order; returns what went otherwise than the page says, None if nothing did."""
    try:
        for block in blocks_that_run(page):
            printed = ""
            for statement in block.statements:
                code, output = reader.run(statement)
                printed += output
                if code != block.expected_code(statement):
                    return f"{page}:{block.line}: {statement}\nended with {code}:\n{printed[-3000:]}"
            _keep(page, block, printed)
            line = documented_page.unprinted(block.shown, printed) if block.shown else None
            if line is not None:
                return f"{page}:{block.line} shows\n{line}\nbut this was printed:\n{printed[-3000:]}"
    finally:
        reader.stop()
    return None


def _keep(page: str, block: Any, printed: str) -> None:
    """Write down what a block printed where KRP_DOCUMENTED_OUTPUT asks for it, for whoever writes the pages."""
    if place := os.environ.get("KRP_DOCUMENTED_OUTPUT"):
        with (Path(place) / f"{page.replace('/', '_')}.txt").open("a", encoding="utf-8") as file:
            file.write(f"--- line {block.line}\n" + "\n".join(block.statements) + f"\n>>>\n{printed}\n")


def _lay_out_clone(folder: Path) -> None:
    shutil.copytree(PROJECT / "experiments", folder / "experiments")
    for name in OF_THE_CLONE[1:]:
        (folder / name).symlink_to(PROJECT / name)


def _lay_out(folder: Path, names: tuple[str, ...], done: Path) -> None:
    """Put in place what a page begins with.

    Scans and the log book are the quick start's own (links); what a page may write to is a copy.
    """
    for name in names:
        if name in ("trial", "sample", "mlruns"):
            (folder / name).symlink_to(done / name)
        elif name in ("features", "bundle"):
            shutil.copytree(done / name, folder / name)
        elif name == "first.toml":
            shutil.copy(done / name, folder)
        elif name == "own data":
            _lay_out_own_data(folder, done)
        elif name == "table":
            _lay_out_table(folder)


def _lay_out_own_data(folder: Path, done: Path) -> None:
    """Put the trial where the README has the reader's: all but two visits are extracted already, as if resumed."""
    (folder / "raw").symlink_to(done / "trial")
    (folder / "derivatives").symlink_to(done / "trial/derivatives")
    experiment = (
        (done / "first.toml").read_text(encoding="utf-8").replace("trial/", "raw/").replace("first-try", "mine")
    )
    (folder / "my_experiment.toml").write_text(experiment, encoding="utf-8")
    (folder / "features").mkdir()
    for visit in sorted((done / "features").glob("sub-*/"))[2:]:
        shutil.copytree(visit, folder / "features" / visit.name)


def _lay_out_table(folder: Path) -> None:
    """Write a table of ready features of 60 patients and 30 controls."""
    from training.simulation.measured_tables import simulate_tables, write_tables
    from training.simulation.trial import TrialPlan

    (folder / "table").mkdir()
    write_tables(simulate_tables(TrialPlan(n_patients=60, n_controls=30, seed=4)), folder / "table")


def _databases(server: str) -> dict[str, str]:
    """Return what stands for the addresses of databases that pages name: empty ones on a server of the tests."""
    place = server.removeprefix("postgresql://").rpartition("/")[0]  # krp@127.0.0.1:PORT
    port = place.rpartition(":")[2]
    import psycopg

    service = f"krp_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {service}")
    return {
        "postgresql://krp@db.example.org/krp": f"postgresql://{place}/{service}",
        "127.0.0.1:5432": f"127.0.0.1:{port}",
        "--port 5432": f"--port {port}",
    }
