"""Designs of a visit's task runs, for people to look at."""

from __future__ import annotations

import json

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.features.recipe import default_recipe
from predictor.features.session_designs import session_designs
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import RunKind, load_task_description

FACES = "\n".join(
    ["onset\tduration\ttrial_type", *(f"{10 + 30 * k}\t15\t{'faces' if k % 2 else 'shapes'}" for k in range(11))]
).encode()
CONFLICT = "\n".join(
    ["onset\tduration\ttrial_type", *(f"{6 + 5 * k}\t1\t{'con' if k * k % 3 else 'incon'}" for k in range(70))]
).encode()


@pytest.fixture
def session(rng: np.random.Generator) -> BaselineSession:
    names = load_circuit().region_names

    def run(kind: RunKind, events: bytes | None, number: int = 1) -> Run:
        recording = RegionRecording(
            region_names=names,
            bold=900 + rng.standard_normal((200, len(names))),
            coverage=np.ones(len(names)),
            temporal_snr=np.full(len(names), 80.0),
            carpet=np.zeros((200, 0), dtype=np.float32),
            repetition_time_s=2.0,
            space="MNI152NLin2009cAsym",
            input_digest="sha256:0",
        )
        return build_run(
            kind, recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=events,
            tasks=load_task_description(), number=number,
        )  # fmt: skip

    return BaselineSession((run("rest", None), run("faces", FACES), run("faces", None, 2), run("conflict", CONFLICT)))


def test_every_task_run_has_numbers_or_a_reason_and_they_are_plain(session: BaselineSession) -> None:
    designs = session_designs(session, default_recipe())
    assert list(designs) == ["faces", "faces_2", "conflict"]
    assert designs["faces_2"] == {"missing": "the faces run has no events table."}
    faces = designs["faces"]["activation_faces"]
    assert set(faces["variance_inflation"]) == {"faces", "control"}
    # Blocks that take turns with a pause between them are nearly, but not quite, each other's complement.
    assert 1 <= faces["variance_inflation"]["faces"] < 5
    assert faces["efficiency"]["contrast"] > 0
    assert "gppi_faces__vmPFC" in designs["faces"]
    assert set(designs["conflict"]) == {"activation_conflict", "activation_conflict_regulation"}
    assert any("which answers were right" in note for note in designs["conflict"]["activation_conflict"]["notes"])
    assert json.loads(json.dumps(designs, allow_nan=False)) == designs
