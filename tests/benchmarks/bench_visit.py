"""How long all features of one visit take, and how much memory, beside bare inflation of the visit's scans.

`python tests/benchmarks/bench_visit.py` writes a synthetic visit (rest 240, faces 200 and conflict 200 volumes, int16
on the 2 mm MNI grid, confounds tables as wide as fMRIPrep's, events), then measures in fresh processes, by turns,
(1) ISA-L inflating the three scans and throwing the output away, (2) finding and reading the visit and computing every
family of the default recipe, standard errors included, as scoring does, (3) the same with both halves, design
diagnostics and the quality report, as `krp extract` does, and, on a visit that is read already, (4) what the resting
families take and (5) what the general linear models and the interactions (gPPI) of the task runs take.

Asked of (2): at most 1.6 times the time of inflation plus 1.5 s, and at most 100 MB above what the imports take.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Extraction of a cohort gives every process one thread; so does this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from bench_extraction import inflate
from fresh_process import Medians, measure_in_turns, measured_here
from measurement import Measurement, conclude, parser_of
from synthetic_scans import confounds_table, data_folder, scan_of

N_VOLUMES = {"rest": 240, "faces": 200, "conflict": 200}
REPETITION_TIME_S = 2.0
MAX_TIME_RATIO, MAX_EXTRA_S = 1.6, 1.5
MAX_MEMORY_MB = 100.0
REST_FAMILIES = ("rest_fisher_z", "rest_partial", "rdcm_rest")
TASK_FAMILIES = ("activation_faces", "gppi_faces", "activation_conflict", "activation_conflict_regulation")
GROUP = "One visit"


def write_visit(tree: Path, scans: Path) -> None:
    """Write one participant's runs as fMRIPrep names them; their scans are those of the folder `scans`."""
    folder = tree / "sub-01" / "func"
    folder.mkdir(parents=True)
    (tree / "dataset_description.json").write_text(
        json.dumps({"Name": "synthetic", "BIDSVersion": "1.10.0", "DatasetType": "derivative"})
    )
    rng = np.random.default_rng(0)
    for task, n_volumes in N_VOLUMES.items():
        stem = folder / f"sub-01_task-{task}"
        scan = Path(f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
        scan.symlink_to(scan_of(scans, n_volumes))
        sidecar = scan.with_name(scan.name.replace(".nii.gz", ".json"))
        sidecar.write_text(json.dumps({"RepetitionTime": REPETITION_TIME_S}))
        Path(f"{stem}_desc-confounds_timeseries.tsv").write_text(confounds_table(rng, n_volumes))
        if task != "rest":
            Path(f"{stem}_events.tsv").write_text(_events(rng, task, n_volumes * REPETITION_TIME_S))


def inflate_scans(tree: Path) -> Callable[[], None]:
    """Prepare bare inflation of every scan."""
    runs = [inflate(path) for path in sorted(tree.rglob("*_bold.nii.gz"))]

    def run() -> None:
        for one in runs:
            one()

    return run


def _import_nilearn() -> None:
    """Import what the first visit of a process imports; a second and 60 MB that belong to no visit."""
    import nilearn.interfaces.fmriprep
    import nilearn.signal  # noqa: F401


def score(tree: Path) -> Callable[[], None]:
    """Prepare what scoring does: find, read, extract."""
    _import_nilearn()
    from predictor.features.extraction import extract_features
    from predictor.features.recipe import default_recipe

    recipe = default_recipe()
    return lambda: _check(extract_features(_read(tree, recipe), recipe))


def extract(tree: Path) -> Callable[[], None]:
    """Prepare what `krp extract` does for a participant."""
    _import_nilearn()
    from predictor.features.extraction import extract_features, session_quality
    from predictor.features.recipe import default_recipe
    from predictor.features.session_designs import session_designs

    recipe = default_recipe()

    def run() -> None:
        session = _read(tree, recipe)
        _check(extract_features(session, recipe, halves=True))
        session_quality(session, recipe)
        session_designs(session, recipe)

    return run


def rest_families(tree: Path) -> Callable[[], None]:
    """Prepare the resting families alone, of a visit that is read."""
    return _families(tree, REST_FAMILIES)


def task_families(tree: Path) -> Callable[[], None]:
    """Prepare general linear models and interactions of both tasks alone, of a visit that is read."""
    return _families(tree, TASK_FAMILIES)


CONTENDERS = {"inflate": inflate_scans, "score": score, "extract": extract, "rest": rest_families,
              "task": task_families}  # fmt: skip


def measurements(*, n_rounds: int) -> list[Measurement]:
    """Measure everything on one visit."""
    with data_folder() as scans, tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "derivatives"
        write_visit(tree, scans)
        medians = measure_in_turns(__file__, tree, CONTENDERS, n_rounds=n_rounds)
    return _records(medians, rounds=f"median of {n_rounds} fresh processes by turns")


def _records(medians: Medians, *, rounds: str) -> list[Measurement]:
    seconds = {name: one["seconds"] for name, one in medians.items()}
    allowed_s = MAX_TIME_RATIO * seconds["inflate"] + MAX_EXTRA_S
    runs = "rest 240, faces 200, conflict 200 volumes, 2 mm"
    asked = f"asked: at most {MAX_TIME_RATIO} × inflation + {MAX_EXTRA_S} s"
    inflation = "bare ISA-L inflation of its scans"
    return [
        Measurement(
            GROUP, "find, read, all 333 features with standard errors", "s", seconds["score"], seconds["inflate"],
            inflation, at_most=allowed_s, detail=f"{runs}; {asked}; {rounds}",
        ),
        Measurement(
            GROUP, "peak memory of it above the imports", "MB", medians["score"]["memory_mb"], at_most=MAX_MEMORY_MB
        ),
        Measurement(
            GROUP, "all of that with halves, designs, quality (`krp extract`)", "s", seconds["extract"],
            seconds["inflate"], inflation,
        ),
        Measurement(
            GROUP, "resting families alone, bootstrap included", "s", seconds["rest"],
            detail="Fisher z, partial correlation, regression DCM; visit read before, first call of a process",
        ),
        Measurement(
            GROUP, "task models alone: gPPI + GLM", "s", seconds["task"],
            detail="activation and gPPI for faces, conflict and its regulation; visit read before, first call of a "
            "process",
        ),
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    if measured_here(CONTENDERS):
        return 0
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="measurements of each contender, by turns (5; quick 1)")
    arguments = parser.parse_args()
    n_rounds = arguments.rounds or (1 if arguments.quick else 5)
    return conclude(measurements(n_rounds=n_rounds), as_json=arguments.json)


def _read(tree: Path, recipe: Any) -> Any:
    from predictor.scan.session import find_visits, read_visit

    (files,) = find_visits(tree, bids_dir=None, tasks=recipe.tasks, participant_labels=None)
    return read_visit(files, recipe.circuit, recipe.tasks)


def _families(tree: Path, families: tuple[str, ...]) -> Callable[[], None]:
    from dataclasses import replace

    from predictor.features.extraction import extract_features
    from predictor.features.recipe import default_recipe

    recipe = replace(default_recipe(), families=families)
    session = _read(tree, recipe)
    return lambda: _check(extract_features(session, recipe))


def _events(rng: np.random.Generator, task: str, length_s: float) -> str:
    if task == "faces":
        onsets = np.arange(8.0, length_s - 20, 26.0)
        rows = [f"{onset}\t18\t{'faces' if k % 2 else 'shapes'}" for k, onset in enumerate(onsets)]
        return "\n".join(["onset\tduration\ttrial_type", *rows]) + "\n"
    onsets = np.arange(6.0, length_s - 10, 4.0)
    kinds = np.where(rng.random(len(onsets)) < 0.5, "congruent", "incongruent")
    right = rng.random(len(onsets)) < 0.93
    rows = [f"{onset}\t1\t{kind}\t{int(hit)}" for onset, kind, hit in zip(onsets, kinds, right, strict=True)]
    return "\n".join(["onset\tduration\ttrial_type\taccuracy", *rows]) + "\n"


def _check(vector: Any) -> None:
    # The signals are noise, so regression DCM may find too little in some of them; that costs the same time.
    missing = [name for name, value in vector.by_name().items() if value is None and not name.startswith("rdcm_")]
    if missing:
        raise SystemExit(f"{len(missing)} features are missing: not everything worth timing was computed")


if __name__ == "__main__":
    raise SystemExit(main())
