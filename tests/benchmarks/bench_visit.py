"""How long all features of one visit take, and how much memory, beside bare inflation of the visit's scans.

`python tests/benchmarks/bench_visit.py` writes a synthetic visit (rest 240, faces 200 and conflict 200 volumes, int16
on the 2 mm MNI grid, confounds tables as wide as fMRIPrep's, events), then measures in fresh processes, by turns,
(1) ISA-L inflating the three scans and throwing the output away, (2) finding and reading the visit and computing every
family of the default recipe, standard errors included, as scoring does, and (3) the same with both halves, design
diagnostics and the quality report, as `krp extract` does. It prints a table, or with --json a document.

Targets, for (2): at most 1.6 times the time of inflation plus 1.5 s, and at most 100 MB of resident memory above what
the imports take. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Extraction of a cohort gives every process one thread; so does this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from bench_extraction import inflate, write_scan
from fresh_process import measure, measure_in_turns, say, table

N_VOLUMES = {"rest": 240, "faces": 200, "conflict": 200}
REPETITION_TIME_S = 2.0
N_OTHER_COLUMNS = 150  # components, squares and cosines that fMRIPrep writes besides
MAX_TIME_RATIO = 1.6
MAX_EXTRA_S = 1.5
MAX_MEMORY_MB = 100.0
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


def write_visit(tree: Path) -> None:
    """Write one participant's runs as fMRIPrep names them."""
    folder = tree / "sub-01" / "func"
    folder.mkdir(parents=True)
    (tree / "dataset_description.json").write_text(
        json.dumps({"Name": "synthetic", "BIDSVersion": "1.10.0", "DatasetType": "derivative"})
    )
    rng = np.random.default_rng(0)
    written: dict[int, Path] = {}
    for task, n_volumes in N_VOLUMES.items():
        stem = folder / f"sub-01_task-{task}"
        scan = Path(f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
        if n_volumes in written:
            shutil.copyfile(written[n_volumes], scan)
        else:
            write_scan(scan, n_volumes=n_volumes)
            written[n_volumes] = scan
        scan.with_name(scan.name.replace(".nii.gz", ".json")).write_text(
            json.dumps({"RepetitionTime": REPETITION_TIME_S})
        )
        Path(f"{stem}_desc-confounds_timeseries.tsv").write_text(confounds_table(rng, n_volumes))
        if task != "rest":
            Path(f"{stem}_events.tsv").write_text(_events(rng, task, n_volumes * REPETITION_TIME_S))


def confounds_table(rng: np.random.Generator, n_volumes: int) -> str:
    """Return a confounds table as wide as fMRIPrep's."""
    motion = np.cumsum(rng.standard_normal((n_volumes, 6)) * 0.003, axis=0)
    slopes = np.vstack([np.full((1, 6), np.nan), np.diff(motion, axis=0)])
    kinds = {"": motion, "_derivative1": slopes, "_power2": motion**2, "_derivative1_power2": slopes**2}
    columns = {name + suffix: signal[:, k] for suffix, signal in kinds.items() for k, name in enumerate(MOTION)}
    columns |= {name: 800 + 5 * rng.standard_normal(n_volumes) for name in ("csf", "white_matter", "global_signal")}
    moved = rng.gamma(2, 0.06, n_volumes)
    moved[0] = np.nan
    columns |= {"framewise_displacement": moved, "dvars": 20 + moved, "std_dvars": 1 + moved}
    columns |= {f"t_comp_cor_{k:02d}": rng.standard_normal(n_volumes) for k in range(N_OTHER_COLUMNS)}
    rows = zip(*columns.values(), strict=True)
    lines = ["\t".join("n/a" if np.isnan(x) else repr(float(x)) for x in row) for row in rows]
    return "\n".join(["\t".join(columns), *lines]) + "\n"


def inflate_scans(tree: Path) -> Callable[[], None]:
    """Prepare bare inflation of every scan."""
    runs = [inflate(path) for path in sorted(tree.rglob("*_bold.nii.gz"))]

    def run() -> None:
        for one in runs:
            one()

    return run


def score(tree: Path) -> Callable[[], None]:
    """Prepare what scoring does: find, read, extract."""
    from predictor.circuit.circuit import load_circuit
    from predictor.features.extraction import extract_features
    from predictor.features.recipe import Recipe
    from predictor.scan.session import find_visits, read_visit
    from predictor.scan.task_description import load_task_description

    recipe = Recipe(circuit=load_circuit(), tasks=load_task_description())

    def run() -> None:
        (files,) = find_visits(tree, bids_dir=None, tasks=recipe.tasks, participant_labels=None)
        _check(extract_features(read_visit(files, recipe.circuit, recipe.tasks), recipe))

    return run


def extract(tree: Path) -> Callable[[], None]:
    """Prepare what `krp extract` does for a participant."""
    from predictor.circuit.circuit import load_circuit
    from predictor.features.extraction import extract_features, session_quality
    from predictor.features.recipe import Recipe
    from predictor.features.session_designs import session_designs
    from predictor.scan.session import find_visits, read_visit
    from predictor.scan.task_description import load_task_description

    recipe = Recipe(circuit=load_circuit(), tasks=load_task_description())

    def run() -> None:
        (files,) = find_visits(tree, bids_dir=None, tasks=recipe.tasks, participant_labels=None)
        session = read_visit(files, recipe.circuit, recipe.tasks)
        _check(extract_features(session, recipe, halves=True))
        session_quality(session, recipe)
        session_designs(session, recipe)

    return run


CONTENDERS = {"inflate": inflate_scans, "score": score, "extract": extract}


def summary(medians: dict[str, dict[str, float]], *, n_rounds: int) -> dict[str, Any]:
    """Give the numbers, the targets, and whether they are met."""
    allowed_s = MAX_TIME_RATIO * medians["inflate"]["seconds"] + MAX_EXTRA_S
    seconds, memory_mb = medians["score"]["seconds"], medians["score"]["memory_mb"]
    return {
        "rounds": n_rounds,
        "medians": medians,
        "allowed_seconds": allowed_s,
        "targets": {"time_ratio": MAX_TIME_RATIO, "extra_seconds": MAX_EXTRA_S, "memory_mb": MAX_MEMORY_MB},
        "passed": seconds <= allowed_s and memory_mb <= MAX_MEMORY_MB,
    }


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contender, by turns (default 5)")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--measure", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        say(json.dumps(measure(CONTENDERS[arguments.measure](arguments.source))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "derivatives"
        write_visit(tree)
        result = summary(
            measure_in_turns(__file__, tree, list(CONTENDERS), n_rounds=arguments.rounds), n_rounds=arguments.rounds
        )
    say(json.dumps(result, indent=2) if arguments.json else table(result["medians"], _verdict(result)))
    return 0 if result["passed"] else 1


def _verdict(result: dict[str, Any]) -> str:
    score_s, memory_mb = (result["medians"]["score"][key] for key in ("seconds", "memory_mb"))
    return (
        f"all features take {score_s:.2f} s (target {MAX_TIME_RATIO} x inflation + {MAX_EXTRA_S} s = "
        f"{result['allowed_seconds']:.2f} s) and {memory_mb:.1f} MB (target {MAX_MEMORY_MB:.0f}): "
        f"{'met' if result['passed'] else 'MISSED'}"
    )


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
