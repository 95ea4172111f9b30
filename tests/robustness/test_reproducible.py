"""The same inputs give the same bytes: bundles over two trainings, answers over restarts, processes and ways to ask.

Asked: byte-identical bundles, and byte-identical predictions across restarts, one or two processes, HTTP and command
line; for linear models and for trees. Bundles are trained in processes of their own, since what differs between them
(the seed of hashes, the order of sets) is the same within one; those of `krp train` by one and by two processes.
`python -m pytest tests/robustness/test_reproducible.py -s`: a linear model; KRP_ROBUST=long adds both kinds of trees.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from predictor.console import emit

ASKED_FOR = b'"answer":'
IS_LONG = os.environ.get("KRP_ROBUST", "short") == "long"
# Trees take several times as long to train, so CI trains the linear model only.
MODELS, MODELS_LONG = ("elastic_net",), ("elastic_net", "random_forest", "hist_gradient_boosting")


def bytes_of(folder: Path) -> dict[str, str]:
    """Digest of every file by its path inside the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module", params=MODELS_LONG if IS_LONG else MODELS)
def trained(request: pytest.FixtureRequest, small_study: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the bundles of two trainings of one experiment: `1` by one process, `2` by two."""
    folder = tmp_path_factory.mktemp(str(request.param))
    small_study.write_study(folder)
    words = [sys.executable, "-m", "predictor", "train", "experiment.toml", "--quiet"]
    for setting in (f"model.primary={request.param}", "validation.n_permutations=0"):
        words += ["--set", setting]
    for n_processes in ("1", "2"):
        given = ["--jobs", n_processes, "--bundle", n_processes, "--store", f"mlruns-{n_processes}"]
        environment = os.environ | {"PYTHONHASHSEED": n_processes}
        done = subprocess.run(
            [*words, *given], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_trained_by_one_process_or_by_two_the_bundle_has_the_same_bytes(trained: Path) -> None:
    assert bytes_of(trained / "1") == bytes_of(trained / "2")
    emit(f"{trained.name}: {len(bytes_of(trained / '1'))} files, the same bytes by 1 and 2 processes (asked: the same)")


def test_every_kind_of_model_answers_alike_over_http_and_on_the_command_line(
    trained: Path, service_process: Any
) -> None:
    features = pd.read_table(trained / "people.tsv", index_col=0).head(3)
    known = pd.read_table(trained / "participants.tsv", index_col=0)
    table = trained / "features.tsv"
    features.join(known["caps5_total_baseline"]).to_csv(table, sep="\t")
    rows = [
        {"features": row.to_dict(), "covariates": {"caps5_total_baseline": known.loc[name, "caps5_total_baseline"]}}
        for name, row in features.iterrows()
    ]
    with service_process("--bundle", trained / "1") as service, service.client() as client:
        over_http = answers_of_the_service(client, rows)
    lines = answers_of_the_command(trained / "2", table, "2")
    assert [json_of_answer(line) for line in lines] == over_http


@pytest.fixture
def table(make_features: Any, tmp_path: Path) -> Path:
    """Return a table of features with three people."""
    rng, names = np.random.default_rng(3), list(make_features(0.0))
    lines = ["\t".join(["participant_id", *names, "caps5_total_baseline", "site", "sex"])]
    for number in range(3):
        values = [repr(value) for value in rng.normal(0.2, 0.3, len(names)).round(6).tolist()]
        lines.append("\t".join([f"sub-0{number}", *values, str(40 + number), "A", "female"]))
    path = tmp_path / "features.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def answers_of_the_command(bundle_dir: Path, table: Path, seed: str) -> list[bytes]:
    words = [sys.executable, "-m", "predictor", "score", str(table), "--bundle", str(bundle_dir), "--json"]
    done = subprocess.run(words, check=False, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def rows_of(table: Path) -> list[dict[str, Any]]:
    header, *lines = (line.split("\t") for line in table.read_text().splitlines())
    n_covariates = 3
    rows = []
    for _, *cells in lines:
        features = dict(zip(header[1:-n_covariates], map(float, cells[:-n_covariates]), strict=True))
        severity, site, sex = cells[-n_covariates:]
        covariates = {"caps5_total_baseline": float(severity), "site": site, "sex": sex}
        rows.append({"features": features, "covariates": covariates})
    return rows


def answers_of_the_service(client: httpx.Client, rows: list[dict[str, Any]]) -> list[bytes]:
    """One request per row; the answer's own bytes."""
    replies = [client.post("/v1/predictions", json={"rows": [row]}) for row in rows]
    assert {reply.status_code for reply in replies} == {200}
    return [reply.content.partition(ASKED_FOR)[2].lstrip().removesuffix(b"}]}") for reply in replies]


def test_answers_are_the_same_over_restarts_two_processes_and_the_command_line(
    service_process: Any, bundle_dir: Path, table: Path
) -> None:
    rows = rows_of(table)
    found = []
    for seed, n_processes in (("1", 2 if IS_LONG else 1), ("2", 1)):  # two at once, and one started later
        with ExitStack() as stack:
            services = [stack.enter_context(service_process("--bundle", bundle_dir)) for _ in range(n_processes)]
            for service in services:
                with service.client() as client:
                    found.append(answers_of_the_service(client, rows))
        if IS_LONG or seed == "1":
            lines = answers_of_the_command(bundle_dir, table, seed)
            found.append([json_of_answer(line) for line in lines])
    assert all(answers == found[0] for answers in found), differing(found)
    emit(f"{len(rows)} people, {len(found)} processes of service and command line: the same bytes (asked: the same)")


def json_of_answer(line: bytes) -> bytes:
    """Return the answer of a line, which stands there beside the participant's label."""
    return line.partition(ASKED_FOR)[2].removesuffix(b"}")


def differing(found: list[list[bytes]]) -> str:
    """Name the members of the first answers that differ."""
    first, *others = ([json.loads(answer) for answer in answers] for answers in found)
    return str([name for answers in others for name in first[0] if first[0][name] != answers[0].get(name)])
