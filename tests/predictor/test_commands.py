from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import uvicorn

from predictor import __main__ as command_line
from predictor import commands
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import default_recipe
from predictor.model.answer import answer_bytes
from predictor.model.bundle import load_bundle, save_bundle
from predictor.pipeline import score_features, score_session
from predictor.scan.session import find_visits, read_visit

GRID, VOXEL_MM, N_VOLUMES = (34, 42, 36), 5.0, 120
GIVEN = ["--covariate", "caps5_total_baseline=44", "--covariate", "site=B"]

Run = Callable[..., int]


@pytest.fixture
def krp(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the command line with `score` alone."""

    def build_parser() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog="krp")
        subparsers = parser.add_subparsers(dest="command", required=True)
        commands.add_commands(subparsers)
        subparsers.choices["score"].add_argument("--quiet", action="store_true")
        subparsers.choices["score"].add_argument("--debug", action="store_true")
        return parser

    monkeypatch.setattr(command_line, "build_parser", build_parser)
    return lambda *words: command_line.main(["score", *map(str, words)])


@pytest.fixture(scope="module")
def folder(make_bundle: Any, make_cohort: Any, least_squares: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that scores resting scans with the default circuit."""
    recipe = replace(default_recipe(), families=("rest_fisher_z",))
    definitions = feature_definitions(recipe)[:6]
    cohort = make_cohort(n_features=len(definitions))
    names = dict(zip(cohort.feature_names, (d.name for d in definitions), strict=True))
    own = replace(cohort, table=cohort.table.rename(columns=names), definitions=definitions)
    bundle = make_bundle(own, make_regressor=least_squares, recipe=recipe, recipe_hashes=(recipe.recipe_hash,))
    folder = tmp_path_factory.mktemp("model") / "bundle"
    save_bundle(bundle, folder)
    return folder


@pytest.fixture(scope="module")
def derivatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an fMRIPrep-shaped folder with one resting run."""
    root = tmp_path_factory.mktemp("fmriprep")
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    rng = np.random.default_rng(0)
    voxels = (1000 + 10 * rng.standard_normal((*GRID, N_VOLUMES))).astype(np.int16)
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = (-84, -120, -74)
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=4)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    stem = "sub-01_task-rest"
    nibabel.save(image, func / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii")
    displacement = "\n".join(f"{value:.3f}" for value in rng.uniform(0.05, 0.15, N_VOLUMES))
    (func / f"{stem}_desc-confounds_timeseries.tsv").write_text(f"framewise_displacement\n{displacement}\n")
    return root


@pytest.fixture
def table(folder: Path, tmp_path: Path) -> Path:
    """Return features of two people, the second with one missing."""
    bundle = load_bundle(folder)
    names = bundle.feature_names
    lines = [
        "\t".join(["participant_id", *names, "recipe_hash"]),
        "\t".join(["sub-01", *(["0.1"] * len(names)), bundle.recipe_hashes[0]]),
        "\t".join(["sub-02", "n/a", *(["-0.2"] * (len(names) - 1)), bundle.recipe_hashes[0]]),
    ]
    path = tmp_path / "features.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def visit_answer(folder: Path, derivatives: Path) -> bytes:
    """Score the visit without the command line."""
    bundle = load_bundle(folder)
    assert bundle.recipe is not None
    tasks = bundle.recipe.tasks
    (visit,) = find_visits(derivatives, bids_dir=None, tasks=tasks, participant_labels=None)
    session = read_visit(visit, bundle.recipe.circuit, tasks)
    return answer_bytes(score_session(session, {"caps5_total_baseline": 44.0, "site": "B"}, bundle))


def test_a_visit_gives_the_answer_document_and_nothing_else_on_standard_output(
    krp: Run, folder: Path, derivatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answer.json"
    code = krp(derivatives, "--bundle", folder, *GIVEN, "--json", "--out", out)
    expected = visit_answer(folder, derivatives)
    assert code == 0
    assert out.read_bytes() == expected
    assert capsys.readouterr().out.encode() == expected + b"\n"
    assert json.loads(expected)["model"]["digest"] == load_bundle(folder).digest
    assert list(tmp_path.iterdir()) == [out]


def test_the_folder_of_one_visit_is_enough(
    krp: Run, folder: Path, derivatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert krp(derivatives / "sub-01", "--bundle", folder, *GIVEN, "--json") == 0
    assert capsys.readouterr().out.encode() == visit_answer(folder, derivatives) + b"\n"


def test_a_session_that_is_not_there_is_named(krp: Run, folder: Path, derivatives: Path) -> None:
    (derivatives / "sub-01" / "ses-2").mkdir()
    assert krp(derivatives / "sub-01" / "ses-2", "--bundle", folder, *GIVEN) == 3
    (derivatives / "sub-01" / "ses-2").rmdir()
    assert krp(derivatives, "--session", "2", "--bundle", folder, *GIVEN) == 3


def test_a_person_reads_a_summary(
    krp: Run, folder: Path, derivatives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert krp(derivatives, "--participant-label", "01", "--bundle", folder, *GIVEN) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("The expected improvement is ")
    assert "(90% interval " in shown
    assert shown.endswith("Research use only.\n")


def test_a_table_gives_one_line_per_row_with_covariates_from_participants_tsv(
    krp: Run, folder: Path, table: Path, tmp_path: Path
) -> None:
    participants, out = tmp_path / "participants.tsv", tmp_path / "answers.jsonl"
    participants.write_text("participant_id\tcaps5_total_baseline\tsite\nsub-02\t50\tA\nsub-01\t40\tC\n")
    code = krp(table, "--bundle", folder, "--participants", participants, "--covariate", "site=B", "--out", out)
    bundle = load_bundle(folder)
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert code == 0
    assert [line["participant"] for line in lines] == ["sub-01", "sub-02"]
    for line, severity, value in zip(lines, (40.0, 50.0), (0.1, -0.2), strict=True):
        features: dict[str, float | None] = dict.fromkeys(bundle.feature_names, value)
        if value < 0:
            features[bundle.feature_names[0]] = None
        expected = score_features(
            features,
            {"caps5_total_baseline": severity, "site": "B"},
            bundle,
            recipe_hash=bundle.recipe_hashes[0],
            input_digest=None,
        )
        assert answer_bytes(line["answer"]) == answer_bytes(expected)


def test_one_row_may_be_chosen(krp: Run, folder: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert krp(table, "--bundle", folder, *GIVEN, "--participant-label", "sub-02", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["participant"] == "sub-02"


def test_a_refused_answer_is_exit_code_4_and_still_an_answer(
    krp: Run, folder: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(table.read_text().replace("sha256:", "sha256:0"))
    assert krp(table, "--bundle", folder, *GIVEN, "--json") == 4
    captured = capsys.readouterr()
    assert all(json.loads(line)["answer"]["status"] == "refused" for line in captured.out.splitlines())
    assert captured.err.endswith("refused (exit 4)\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--covariate", "caps5_total_baseline=high"], 3, "value-out-of-range"),
        (["--covariate", "site"], 2, "expected --covariate NAME=VALUE"),
        (["--covariate", "shoe_size=42"], 2, "arm, caps5_total_baseline, site; found shoe_size"),
        (["--participant-label", "99"], 3, "participant-unknown"),
        (["--out", "nowhere/answer.json"], 2, "--out cannot be written"),
    ],
)
def test_wrong_use_and_wrong_input_have_their_codes(
    krp: Run,
    folder: Path,
    table: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert krp(table, "--bundle", folder, *words) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_damaged_bundle_and_a_missing_input_are_invalid(
    krp: Run, folder: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle").mkdir()
    assert krp(table, "--bundle", tmp_path / "bundle") == 3
    assert "bundle-damaged" in capsys.readouterr().err
    assert krp(tmp_path / "nowhere", "--bundle", folder) == 2
    (tmp_path / "sub-01_bold.nii.gz").touch()
    assert krp(tmp_path / "sub-01_bold.nii.gz", "--bundle", folder) == 2
    assert "found a scan" in capsys.readouterr().err


def test_a_row_that_is_wrong_is_named(krp: Run, folder: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second = table.read_text().splitlines()
    table.write_text("\n".join([header + "\tnonsense", first + "\tn/a", second + "\t1"]) + "\n")
    assert krp(table, "--bundle", folder, *GIVEN) == 3
    assert "line 2, nonsense" in capsys.readouterr().err


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the real service with the same bundle."""
    from serving.app import create_app
    from serving.model_store import BundleFolder, ModelStore
    from serving.settings import Settings

    store = ModelStore(BundleFolder(folder))
    store.refresh()
    database = f"sqlite:///{tmp_path_factory.mktemp('database')}/service.db"
    app = create_app(Settings(refresh_s=0, max_rows=1, database_url=database), models_store=store)
    config = uvicorn.Config(app, log_config=None, port=0, access_log=False)
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)
    listener.close()


def test_the_service_gives_the_same_bytes_for_a_visit(
    krp: Run, folder: Path, derivatives: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert krp(derivatives, "--service", service, *GIVEN, "--json") == 0
    assert capsys.readouterr().out.encode() == visit_answer(folder, derivatives) + b"\n"


def test_the_service_gives_the_same_bytes_for_several_runs(
    krp: Run, service: str, folder: Path, derivatives: Path, tmp_path: Path
) -> None:
    twice = tmp_path / "twice/sub-01/func"
    twice.mkdir(parents=True)
    for path in (derivatives / "sub-01/func").iterdir():
        for run in (1, 2):
            shutil.copy(path, twice / path.name.replace("task-rest_", f"task-rest_run-{run}_"))
    answers = []
    for where in (("--service", service), ("--bundle", folder)):
        assert krp(tmp_path / "twice", *where, *GIVEN, "--json", "--out", tmp_path / "answer.json") == 0
        answers.append((tmp_path / "answer.json").read_bytes())
    assert answers[0] == answers[1]
    assert json.loads(answers[0])["quality"].keys() == {"rest", "rest_2"}


def test_the_service_gives_the_same_bytes_for_rows_sent_one_by_one(
    krp: Run, folder: Path, table: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert krp(table, "--bundle", folder, *GIVEN, "--json") == 0
    here = capsys.readouterr().out
    assert krp(table, "--service", service, *GIVEN, "--json") == 0
    assert capsys.readouterr().out == here
    assert len(here.splitlines()) == 2


def test_a_problem_of_the_service_is_told_in_its_words(
    krp: Run, table: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    header, first, _ = table.read_text().splitlines()
    table.write_text(f"{header}\tnonsense\n{first}\t1\n")
    assert krp(table, "--service", service, *GIVEN) == 3
    message = capsys.readouterr().err
    assert "service-failed: the service answers 422 feature-unknown" in message
    assert "nonsense" in message


def test_nobody_at_the_address_is_a_named_error(krp: Run, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert krp(table, "--service", "http://127.0.0.1:9") == 3
    assert "no answer from the service" in capsys.readouterr().err
    assert krp(table, "--service", "file:///etc/hostname") == 2


def test_a_registry_address_is_answered_by_whoever_knows_registries(
    krp: Run, folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Resolver:
        def load(self) -> Callable[[str], tuple[Path, bool]]:
            return lambda uri: (asked.append(uri), (folder, True))[1]

    from predictor import scorer

    monkeypatch.setattr(scorer, "entry_points", lambda group: [Resolver()] if group == "krp.models" else [])
    assert krp(table, *GIVEN, "--json") == 0  # the champion is the default
    assert asked == ["models:/ketamine-response@champion"]
    assert json.loads(capsys.readouterr().out.splitlines()[0])["answer"]["model"]["promoted"] is True
    monkeypatch.setattr(scorer, "entry_points", lambda group: [])
    assert krp(table, "--model", "models:/ketamine-response@champion") == 2
    assert "--bundle" in capsys.readouterr().err


def test_a_report_shows_the_visit_with_its_answer(
    krp: Run, folder: Path, derivatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "visit.html"
    assert krp(derivatives / "sub-01", "--bundle", folder, *GIVEN, "--json", "--report", path) == 0
    assert capsys.readouterr().out.encode() == visit_answer(folder, derivatives) + b"\n"
    page = path.read_text(encoding="utf-8")
    assert "Visit report: sub-01" in page
    assert json.loads(visit_answer(folder, derivatives))["explanation"]["sentence"] in page
    assert "Regions on the mean image of rest" in page
    assert "Synthetic data" not in page


def test_a_report_is_refused_where_it_cannot_be_drawn(
    krp: Run, folder: Path, table: Path, derivatives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ["--report", tmp_path / "visit.html"]
    assert krp(table, "--bundle", folder, *GIVEN, *report) == 2
    assert "drawn from scans" in capsys.readouterr().err
    assert krp(derivatives, "--bundle", folder, *GIVEN, "--report", tmp_path / "nowhere" / "visit.html") == 2
    assert "--report cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "visit.html").exists()
