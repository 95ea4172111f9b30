"""Checking trees: every fault is found by name, nothing is computed, and a mess never gives a traceback."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from predictor.__main__ import main
from predictor.circuit.circuit import Circuit, Edge, Region
from predictor.errors import PredictorError, SessionError
from predictor.features.extraction import extract_features
from predictor.features.recipe import Recipe, default_recipe
from predictor.features.run_trial import check_rules
from predictor.scan.session import read_visit
from predictor.scan.task_description import load_task_description
from predictor.scan.tree_check import TreeCheck, check_tree
from predictor.scan.visit_files import find_visits
from training.commands.check_commands import check_lines

N_VOLUMES = 130
MNI = "space-MNI152NLin2009cAsym"
CIRCUIT = Circuit(
    "small",
    "MNI152NLin2009cAsym",
    (
        Region("amygdala_L", "amygdala", (-24.0, -4.0, -20.0), 8.0),
        Region("vmPFC", "vmPFC", (0.0, 26.0, -18.0), 8.0),
    ),
    (Edge("amygdala_L", "vmPFC"),),
)
RECIPE = Recipe(circuit=CIRCUIT, tasks=load_task_description(), minimum_trials_conflict=3)
TRIALS = {
    "faces": ("face", "shape") * 2,
    "conflict": ("congruent", "congruent", "incongruent", "incongruent"),
}


def scan_bytes(rng: np.random.Generator, *, n_volumes: int = N_VOLUMES, seconds: float = 2.0) -> bytes:
    affine = np.diag([16.0, 16.0, 16.0, 1.0]) / 16 * 12
    affine[3, 3] = 1
    affine[:3, 3] = [-90, -126, -72]
    noise = rng.standard_normal((15, 19, 15, n_volumes))
    image = nib.Nifti1Image((noise * 10 + 1000).astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = seconds
    return gzip.compress(image.to_bytes(), 1)


def confounds_bytes(rng: np.random.Generator, n_volumes: int = N_VOLUMES, *, moved_mm: float = 0.1) -> bytes:
    motion = [f"{place}_{axis}" for place in ("trans", "rot") for axis in "xyz"]
    names = [f"{name}{end}" for name in motion for end in ("", "_derivative1", "_power2", "_derivative1_power2")]
    names += ["csf", "white_matter"]
    rows = rng.standard_normal((n_volumes, len(names)))
    lines = ["\t".join(["framewise_displacement", *names])]
    lines += ["\t".join([f"{moved_mm}" if row else "n/a", *map(str, rows[row])]) for row in range(n_volumes)]
    return ("\n".join(lines) + "\n").encode()


def events_bytes(names: tuple[str, ...], *, times: int = 8, step_s: float = 5.0) -> bytes:
    rows = [f"{number * step_s}\t2\t{name}\tcorrect" for number, name in enumerate(names * times)]
    return ("onset\tduration\ttrial_type\taccuracy\n" + "\n".join(rows) + "\n").encode()


@pytest.fixture(scope="module")
def sound_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three people with one run of each kind, nothing wrong with it."""
    rng = np.random.default_rng(1)
    root, scan = tmp_path_factory.mktemp("sound"), scan_bytes(rng)
    derivatives = root / "derivatives/fmriprep"
    (root / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\nsub-03\n")
    description = {"Name": "x", "BIDSVersion": "1.8.0", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "23.1.3"}]}
    for person in ("sub-01", "sub-02", "sub-03"):
        func, raw = derivatives / person / "func", root / person / "func"
        func.mkdir(parents=True)
        raw.mkdir(parents=True)
        for kind in ("rest", "faces", "conflict"):
            stem = f"{person}_task-{kind}"
            (func / f"{stem}_{MNI}_desc-preproc_bold.nii.gz").write_bytes(scan)
            (func / f"{stem}_{MNI}_desc-preproc_bold.json").write_text('{"RepetitionTime": 2.0}')
            (func / f"{stem}_desc-confounds_timeseries.tsv").write_bytes(confounds_bytes(rng))
            (func / f"{stem}_desc-confounds_timeseries.json").write_text("{}")
            if kind in TRIALS:
                (raw / f"{stem}_events.tsv").write_bytes(events_bytes(TRIALS[kind]))
    for folder in (root, derivatives):
        (folder / "dataset_description.json").write_text(json.dumps(description))
    return root


@pytest.fixture
def tree(sound_tree: Path, tmp_path: Path) -> Path:
    """Return a copy to break."""
    return Path(shutil.copytree(sound_tree, tmp_path / "study"))


def checked(root: Path, recipe: Recipe = RECIPE, *, session: str | None = None) -> TreeCheck:
    return check_tree(root, check_rules(recipe), session_label=session)


def part(root: Path, person: str, kind: str, name: str) -> Path:
    func = root / f"derivatives/fmriprep/{person}/func"
    paths = {
        "scan": func / f"{person}_task-{kind}_{MNI}_desc-preproc_bold.nii.gz",
        "sidecar": func / f"{person}_task-{kind}_{MNI}_desc-preproc_bold.json",
        "confounds": func / f"{person}_task-{kind}_desc-confounds_timeseries.tsv",
        "events": root / f"{person}/func/{person}_task-{kind}_events.tsv",
    }
    return paths[name]


def found(check: TreeCheck, person: str | None = "sub-02") -> list[tuple[str, str, str]]:
    return [
        (f.severity, f.code, f.where) for f in check.findings if f.participant_id == person and f.severity != "note"
    ]


def test_a_sound_tree_gives_notes_only(sound_tree: Path) -> None:
    check = checked(sound_tree)
    assert {finding.severity for finding in check.findings} == {"note"}
    assert any(finding.message == "made by fMRIPrep 23.1.3." for finding in check.findings)
    assert check.usable == ("sub-01", "sub-02", "sub-03")


def test_no_scan_is_read_beyond_its_header(tree: Path) -> None:
    for scan in tree.rglob("*.nii.gz"):
        content = scan.read_bytes()
        # The end mark stays; everything between is destroyed.
        scan.write_bytes(content[:5000] + b"\xff" * (len(content) - 5008) + content[-8:])
    assert checked(tree).unusable == ()


# Stands for the person in the expected places.
PERSON = "PERSON"
Fault = Callable[[Path, str], object]
FAULTS: dict[str, tuple[Fault, list[tuple[str, str, str]]]] = {
    "confounds of another run": (
        lambda root, person: part(root, person, "rest", "confounds").write_bytes(
            confounds_bytes(np.random.default_rng(0), N_VOLUMES - 2)
        ),
        [("unusable", "confounds-row-mismatch", "rest_confounds")],
    ),
    "a cell that is no number": (
        lambda root, person: part(root, person, "faces", "confounds").write_bytes(
            confounds_bytes(np.random.default_rng(0)).replace(b"0.1\t", b"oops\t", 1)
        ),
        [("unusable", "table-invalid", "faces_confounds, row 2, column framewise_displacement")],
    ),
    "no scan at all": (
        lambda root, person: shutil.rmtree(root / "derivatives/fmriprep" / person / "func"),
        [("unusable", "session-not-found", "")],
    ),
    "an empty scan": (
        lambda root, person: part(root, person, "rest", "scan").write_bytes(b""),
        [("unusable", "scan-truncated", "rest")],
    ),
    "a scan cut off within its header": (
        lambda root, person: part(root, person, "rest", "scan").write_bytes(
            part(root, person, "rest", "scan").read_bytes()[:60]
        ),
        [("unusable", "scan-truncated", "rest")],
    ),
    "a scan cut off half way": (
        lambda root, person: part(root, person, "rest", "scan").write_bytes(
            part(root, person, "rest", "scan").read_bytes()[:200_000]
        ),
        [("unusable", "scan-truncated", "rest")],
    ),
    "a text file called scan": (
        lambda root, person: part(root, person, "rest", "scan").write_text("version https://git-lfs"),
        [("unusable", "scan-unreadable", "rest")],
    ),
    "a link that leads nowhere": (
        lambda root, person: (
            part(root, person, "rest", "scan").unlink(),
            part(root, person, "rest", "scan").symlink_to("../annex/absent"),
        ),
        [("unusable", "scan-unreadable", "rest")],
    ),
    "milliseconds": (
        lambda root, person: part(root, person, "rest", "sidecar").write_text('{"RepetitionTime": 2000}'),
        [("unusable", "repetition-time-invalid", "rest_sidecar")],
    ),
    "a side-car that is no JSON": (
        lambda root, person: part(root, person, "rest", "sidecar").write_text("{"),
        [("unusable", "table-invalid", "rest_sidecar")],
    ),
    "events of a longer run": (
        lambda root, person: part(root, person, "faces", "events").write_bytes(
            events_bytes(TRIALS["faces"], step_s=30)
        ),
        [("unusable", "events-beyond-run", "faces_events, row 10, column onset")],
    ),
    "unknown conditions": (
        lambda root, person: part(root, person, "faces", "events").write_bytes(events_bytes(("go", "nogo"))),
        [("unusable", "events-condition-missing", "faces_events, column trial_type")],
    ),
    "too few trials": (
        lambda root, person: part(root, person, "faces", "events").write_bytes(
            events_bytes(("face", "shape"), times=1)
        ),
        [("missing", "feature-not-computable", "faces")],
    ),
    "no events": (
        lambda root, person: part(root, person, "faces", "events").unlink(),
        [("missing", "feature-not-computable", "faces")],
    ),
    "no confounds": (
        lambda root, person: part(root, person, "rest", "confounds").unlink(),
        [("flag", "confounds-fallback", "rest")],
    ),
    "no such run": (
        lambda root, person: part(root, person, "conflict", "scan").unlink(),
        [("missing", "run-missing", "conflict")],
    ),
    "censoring that leaves too little": (
        lambda root, person: part(root, person, "rest", "confounds").write_bytes(
            confounds_bytes(np.random.default_rng(0), moved_mm=0.9)
        ),
        [
            ("missing", "feature-not-computable", "rest"),
            ("flag", "motion-high", "rest"),
            ("flag", "censoring-high", "rest"),
            ("flag", "too-short", "rest"),
        ],
    ),
    "a shorter run": (
        lambda root, person: (
            part(root, person, "rest", "scan").write_bytes(scan_bytes(np.random.default_rng(0), n_volumes=122)),
            part(root, person, "rest", "confounds").write_bytes(confounds_bytes(np.random.default_rng(0), 122)),
        ),
        [("flag", "run-unlike-others", "rest")],
    ),
    "a download that was interrupted": (
        lambda root, person: part(root, person, "rest", "scan").with_suffix(".gz.part").write_bytes(b"x"),
        [("flag", "leftover-file", f"{PERSON}_task-rest_{MNI}_desc-preproc_bold.nii.gz.part")],
    ),
    "a second run in the scanner's space only": (
        lambda root, person: shutil.copy(
            part(root, person, "rest", "scan"),
            root / f"derivatives/fmriprep/{person}/func/{person}_task-rest_run-2_desc-preproc_bold.nii.gz",
        ),
        [("flag", "scan-not-mni", "run-2_task-rest")],
    ),
    "the scan twice": (
        lambda root, person: (
            part(root, person, "rest", "scan")
            .with_suffix("")
            .write_bytes(gzip.decompress(part(root, person, "rest", "scan").read_bytes()))
        ),
        [("flag", "scan-twice", f"{PERSON}_task-rest_{MNI}_desc-preproc_bold.nii")],
    ),
}


@pytest.fixture(scope="module")
def broken_tree(sound_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of one person per fault, and three without."""
    root = Path(shutil.copytree(sound_tree, tmp_path_factory.mktemp("broken") / "study"))
    for position, (break_it, _) in enumerate(FAULTS.values()):
        person = f"sub-f{position:02d}"
        for folder in (root, root / "derivatives/fmriprep"):
            for path in sorted((folder / "sub-01/func").iterdir()):
                copy = folder / person / "func" / path.name.replace("sub-01", person)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        break_it(root, person)
    return root


@pytest.fixture(scope="module")
def broken_check(broken_tree: Path) -> TreeCheck:
    return checked(broken_tree)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, broken_check: TreeCheck) -> None:
    person = f"sub-f{list(FAULTS).index(fault):02d}"
    expected = [(severity, code, where.replace(PERSON, person)) for severity, code, where in FAULTS[fault][1]]
    assert found(broken_check, person) == expected
    assert (person in broken_check.unusable) == (expected[0][0] == "unusable")


def test_a_fault_stops_nobody_else(broken_check: TreeCheck) -> None:
    for person in ("sub-01", "sub-02", "sub-03"):
        assert found(broken_check, person) == []
        assert person in broken_check.usable


def test_check_and_extraction_agree_on_who_can_be_used(broken_tree: Path, broken_check: TreeCheck) -> None:
    unusable = []
    quick = replace(RECIPE, families=("activation_faces", "quality"))
    for visit in find_visits(broken_tree, bids_dir=None, tasks=RECIPE.tasks, participant_labels=None):
        try:
            extract_features(read_visit(visit, CIRCUIT, RECIPE.tasks), quick)
        except PredictorError:
            unusable.append(visit.participant_id)
    assert tuple(unusable) == broken_check.unusable
    assert len(unusable) == 12


def test_one_fault_does_not_hide_another(tree: Path) -> None:
    FAULTS["milliseconds"][0](tree, "sub-02")
    FAULTS["confounds of another run"][0](tree, "sub-02")
    part(tree, "sub-02", "faces", "scan").write_bytes(b"")
    assert {code for _, code, _ in found(checked(tree))} >= {
        "repetition-time-invalid",
        "confounds-row-mismatch",
        "scan-truncated",
    }


def test_what_concerns_the_whole_tree_is_said_once(tree: Path) -> None:
    (tree / "derivatives/fmriprep/dataset_description.json").write_text("{")
    (tree / "participants.tsv").write_text("participant_id\nsub-01\nsub-01\nsub-03\nsub-09\n")
    for path in tree.rglob("*task-conflict*"):
        path.rename(path.with_name(path.name.replace("conflict", "nback")))
    general = found(checked(tree), None)
    assert sorted(code for _, code, _ in general) == [
        "participant-duplicate",
        "participants-differ",
        "participants-differ",
        "run-missing",
        "table-invalid",
    ]
    notes = [finding.message for finding in checked(tree).findings if finding.code == "task-unknown"]
    assert notes == ["tasks that no kind of run claims, so that their scans are not used: nback."]


def test_several_sessions_without_a_baseline_are_named(tree: Path) -> None:
    func = tree / "derivatives/fmriprep/sub-02/func"
    for session in ("a", "b"):
        folder = func.parent / f"ses-{session}/func"
        folder.mkdir(parents=True)
        for path in func.iterdir():
            shutil.copy(path, folder / path.name.replace("sub-02_", f"sub-02_ses-{session}_"))
    shutil.rmtree(func)
    check = checked(tree)
    [problem] = [finding for finding in check.findings if finding.severity == "unusable"]
    assert "found ses-a, ses-b" in problem.message
    assert "--session" in problem.remedy
    with_label = checked(tree, session="ses-b")
    assert "sub-02" in with_label.usable
    assert with_label.unusable == ("sub-01", "sub-03")
    with pytest.raises(SessionError, match="ses-c"):
        checked(tree, session="c")


def test_a_region_out_of_view_is_found_from_the_header(tree: Path) -> None:
    far = replace(CIRCUIT.regions[1], centre_mni_mm=(0.0, 120.0, 90.0))
    recipe = replace(RECIPE, circuit=replace(CIRCUIT, regions=(CIRCUIT.regions[0], far)))
    messages = [f.message for f in checked(tree, recipe).findings if f.severity == "missing"]
    assert len(messages) == 3 * 3
    assert "vmPFC" in messages[0]


def test_the_command_says_with_its_exit_code_who_can_be_used(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = tree / "circuit.toml"
    regions = "".join(
        f'[[regions]]\nname = "{r.name}"\ngroup = "{r.group}"\ncentre_mni_mm = {list(r.centre_mni_mm or ())}\n'
        f"radius_mm = {r.radius_mm}\n"
        for r in CIRCUIT.regions
    )
    edges = '[[edges]]\nsources = ["amygdala_L"]\ntargets = ["vmPFC"]\n'
    circuit.write_text(f'name = "small"\nspace = "MNI152NLin2009cAsym"\n{regions}{edges}')
    command = ["check", str(tree), "--circuit", str(circuit), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["unusable"] == []
    part(tree, "sub-02", "rest", "scan").write_bytes(b"")
    assert main(command) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["unusable"] == ["sub-02"]
    assert main([*command, "--participant-label", "02"]) == 3
    for scan in tree.rglob("*.nii.gz"):
        scan.unlink()
    assert main(command) == 3
    assert "expected files named" in capsys.readouterr().err


def test_nothing_but_mess_is_a_named_error_or_a_finding(tmp_path: Path) -> None:
    func = tmp_path / "sub-x_y" / "func"
    func.mkdir(parents=True)
    names = ["sub-1_task_bold.nii.gz", "sub-_ses-_task-rest_run-x_space-MNI_desc-preproc_bold.nii.gz", "sub-x"]
    for name in [*names, f"sub-1-2_task-rest_{MNI}_desc-preproc_bold.nii", "_desc-preproc_bold.nii"]:
        (func / name).write_bytes(b"\x1f\x8b\x08")
    (func / f"sub-3_task-rest_{MNI}_desc-preproc_bold.nii.gz").mkdir()
    (tmp_path / "participants.tsv").mkdir()
    (tmp_path / "dataset_description.json").write_bytes(b"\xff\xfe")
    check = checked(tmp_path)
    assert check.usable == ()
    assert list(check_lines(check, width=80))


def test_random_damage_never_gives_a_traceback(tree: Path, rng: np.random.Generator) -> None:
    small = [path for path in sorted(tree.rglob("*")) if path.is_file() and path.suffix != ".gz"]
    scans = sorted(tree.rglob("*.nii.gz"))
    for _ in range(12):
        for path in rng.choice(np.array(small + scans), 3):
            content = bytearray(path.read_bytes()[: 1 << 16])
            for position in rng.integers(0, max(len(content), 1), 30):
                content[position : position + 1] = bytes([int(rng.integers(256))])
            path.write_bytes(bytes(content[: int(rng.integers(1, len(content) + 1))]) or b"x")
        checked(tree)


def test_the_table_groups_what_visits_share(tree: Path) -> None:
    for person in ("sub-01", "sub-03"):
        part(tree, person, "faces", "events").unlink()
    FAULTS["confounds of another run"][0](tree, "sub-02")
    lines = list(check_lines(checked(tree), width=100))
    assert lines[0] == "Cannot be used"
    assert max(map(len, lines)) <= 140
    text = "\n".join(lines)
    assert "2 visits" in text
    assert "In sub-01, sub-03." in text
    assert "confounds-row-mismatch" in text
    assert lines[-1].startswith("3 visits: 2 can be used, 1 cannot; 2 will lack features")


def test_one_visit_is_counted_as_one(tree: Path) -> None:
    alone = check_tree(tree, check_rules(default_recipe()), bids_dir=tree, participant_labels=["01"])
    assert list(check_lines(alone, width=100))[-1] == (
        "1 visit: 1 can be used, 0 cannot; 0 will lack features, 0 need a look"
    )


def test_real_tables_are_checked_with_headers_that_hold_no_data(shared: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(shared / "data/aomic_piop2", tmp_path / "study"))
    for sidecar in study.rglob("*_desc-preproc_bold.json"):
        stem = sidecar.name.split("_space-")[0]
        n_volumes = len((sidecar.parent / f"{stem}_desc-confounds_regressors.tsv").read_text().splitlines()) - 1
        header = nib.Nifti1Header()
        header.set_data_shape((66, 78, 66, n_volumes))
        header.set_data_dtype(np.int16)
        header.set_sform(np.array([[3, 0, 0, -99], [0, 3, 0, -135], [0, 0, 3, -75], [0, 0, 0, 1.0]]), code=4)
        header["magic"] = b"n+1"
        header["vox_offset"] = 352
        with sidecar.with_suffix(".nii").open("wb") as scan:
            scan.write(header.binaryblock)
            scan.truncate(352 + 66 * 78 * 66 * n_volumes * 2)  # a hole: no scan is read beyond its header
    check = check_tree(study, check_rules(default_recipe()), bids_dir=study)
    assert len(check.usable) == 8
    assert check.unusable == ()
    serious = {f.code for f in check.findings if f.severity in ("unusable", "missing") and f.participant_id}
    assert serious == set()
