"""One visit in, one feature vector out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from threadpoolctl import threadpool_limits

from predictor.circuit.circuit import Circuit, Edge, Region, load_circuit
from predictor.features.extraction import extract_features, feature_definitions, session_quality
from predictor.features.feature_catalogue import feature_source
from predictor.features.gppi import gppi_estimates, seed_signals
from predictor.features.recipe import Recipe, default_recipe, region_table_recipe
from predictor.features.region_glm import fit_region_glm
from predictor.features.task_activation import activation_design
from predictor.features.task_design import Condition, MicrotimeGrid, cosine_drift
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run
from predictor.scan.task_description import RunKind, load_task_description

REPETITION_TIME_S = 2.0
N_VOLUMES = 200
ONSETS = np.arange(10.0, 340.0, 30.0)
Floats = NDArray[np.float64]


def recording_of(
    bold: Floats, names: tuple[str, ...], *, coverage: Floats | None = None, repetition_time_s: float | None = 2.0
) -> RegionRecording:
    n_volumes, n_regions = bold.shape
    return RegionRecording(
        region_names=names,
        bold=bold,
        coverage=np.ones(n_regions) if coverage is None else coverage,
        temporal_snr=np.full(n_regions, 80.0),
        carpet=np.zeros((n_volumes, 0), dtype=np.float32),
        repetition_time_s=repetition_time_s,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:" + "0" * 64,
    )


def motion_table(rng: np.random.Generator, n_volumes: int, *, moved: tuple[int, ...] = ()) -> bytes:
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    motion = np.cumsum(rng.standard_normal((n_volumes, 6)) * 0.002, axis=0)
    tissue = rng.standard_normal((n_volumes, 2)) * 5 + 800
    displacement = rng.uniform(0.05, 0.2, n_volumes)
    displacement[list(moved)] = 2.0
    suffixes = ("", "_derivative1", "_power2", "_derivative1_power2")
    slopes = np.vstack([np.zeros((1, 6)), np.diff(motion, axis=0)])
    kinds = {"": motion, "_derivative1": slopes, "_power2": motion**2, "_derivative1_power2": slopes**2}
    columns = [kinds[suffix] for suffix in suffixes] + [tissue, displacement[:, None]]
    header = [name + suffix for suffix in suffixes for name in names] + [
        "csf",
        "white_matter",
        "framewise_displacement",
    ]
    rows = [["n/a" if np.isnan(x) else repr(float(x)) for x in row] for row in np.column_stack(columns)]
    rows[0][-1] = "n/a"
    return "\n".join("\t".join(row) for row in [header, *rows]).encode()


def events_table() -> bytes:
    rows = [f"{onset}\t15.0\t{'faces' if index % 2 else 'control'}" for index, onset in enumerate(ONSETS)]
    return "\n".join(["onset\tduration\ttrial_type", *rows]).encode()


CONFLICT_ONSETS = np.arange(6.0, 380.0, 5.0)


def conflict_events_table(congruency: NDArray[np.bool_], is_correct: NDArray[np.bool_]) -> bytes:
    """Trials of one second; congruency and accuracy by trial."""
    rows = [
        f"{onset}\t1.0\t{'congruent' if same else 'incongruent'}\t{int(right)}"
        for onset, same, right in zip(CONFLICT_ONSETS, congruency, is_correct, strict=True)
    ]
    return "\n".join(["onset\tduration\ttrial_type\taccuracy", *rows]).encode()


def some_conflict_trials() -> bytes:
    draws = np.random.default_rng(11).random((2, len(CONFLICT_ONSETS)))
    return conflict_events_table(draws[0] < 0.5, draws[1] < 0.92)


def events_of(kind: RunKind) -> bytes | None:
    return {"rest": None, "faces": events_table(), "conflict": some_conflict_trials()}[kind]


def face_conditions() -> tuple[Condition, ...]:
    return tuple(
        Condition(name, ONSETS[start::2], np.full(len(ONSETS[start::2]), 15.0))
        for name, start in (("faces", 1), ("control", 0))
    )


@pytest.fixture
def raw_bold(rng: np.random.Generator) -> Callable[[int], Floats]:
    """Return scanner-like signals of the default circuit, correlated between regions."""

    def make(n_regions: int) -> Floats:
        common = rng.standard_normal((N_VOLUMES, 1))
        own = rng.standard_normal((N_VOLUMES, n_regions))
        return 900 + 50 * np.arange(n_regions) + 6 * (own + 0.5 * common)

    return make


@pytest.fixture
def visit(rng: np.random.Generator, raw_bold: Callable[[int], Floats]) -> Callable[..., BaselineSession]:
    """Return a maker of visits of the default circuit."""

    def make(
        kinds: tuple[RunKind, ...] = ("rest", "faces", "conflict"),
        *,
        bold: Floats | None = None,
        names: tuple[str, ...] | None = None,
        coverage: Floats | None = None,
        moved: tuple[int, ...] = (),
        with_events: bool = True,
        repetition_time_s: float | None = REPETITION_TIME_S,
    ) -> BaselineSession:
        names = names or load_circuit().region_names
        runs = []
        for position, kind in enumerate(kinds):
            signals = raw_bold(len(names)) if bold is None else bold
            runs.append(
                build_run(
                    kind,
                    recording_of(signals, names, coverage=coverage, repetition_time_s=repetition_time_s),
                    confounds_tsv=motion_table(np.random.default_rng(5), len(signals), moved=moved),
                    confounds_sidecar=None,
                    sidecar=None,
                    events_tsv=events_of(kind) if with_events else None,
                    tasks=load_task_description(),
                    number=1 + kinds[:position].count(kind),
                )
            )
        return BaselineSession(tuple(runs))

    return make


def reasons_by_name(session: BaselineSession, recipe: Recipe) -> dict[str, str | None]:
    vector = extract_features(session, recipe)
    return dict(zip(vector.names, vector.missing_reasons, strict=True))


def test_a_complete_visit_has_every_feature_of_the_recipe(visit: Callable[..., BaselineSession]) -> None:
    recipe, session = default_recipe(), visit(moved=(50, 51))
    vector = extract_features(session, recipe)
    assert vector.definitions == feature_definitions(recipe)
    assert np.isfinite(vector.values).all()
    assert set(vector.missing_reasons) == {None}
    assert vector.recipe_hash == recipe.recipe_hash
    assert vector.input_digest == session.input_digest
    has_no_error = [
        d.family for d, error in zip(vector.definitions, vector.standard_errors, strict=True) if not error > 0
    ]
    assert set(has_no_error) == {"quality"}
    assert np.isnan(vector.first_half).all()


def test_the_same_visit_gives_the_same_numbers_twice(visit: Callable[..., BaselineSession]) -> None:
    session = visit()
    first, second = (extract_features(session, default_recipe()) for _ in range(2))
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.standard_errors, second.standard_errors, equal_nan=True)


def test_the_number_of_threads_changes_no_digit(visit: Callable[..., BaselineSession]) -> None:
    session = visit()
    vectors = []
    for n_threads in (1, 2):
        with threadpool_limits(limits=n_threads):
            vectors.append(extract_features(session, default_recipe(), halves=True))
    for numbers in ("values", "standard_errors", "first_half", "second_half"):
        np.testing.assert_array_equal(*(getattr(vector, numbers) for vector in vectors))
    assert vectors[0].recipe_hash == vectors[1].recipe_hash


def test_asking_for_halves_changes_neither_values_nor_standard_errors(visit: Callable[..., BaselineSession]) -> None:
    session, recipe = visit(moved=(20, 21, 120)), default_recipe()
    plain, halved = (extract_features(session, recipe, halves=halves) for halves in (False, True))
    assert np.array_equal(plain.values, halved.values)
    assert np.array_equal(plain.standard_errors, halved.standard_errors, equal_nan=True)
    assert np.isnan(plain.first_half).all()


def test_a_half_is_what_a_run_of_its_own_would_give(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    bold, names = raw_bold(12), load_circuit().region_names
    recipe = replace(default_recipe(), confound_strategy="none", minimum_trials_conflict=2)
    middle_s = N_VOLUMES // 2 * REPETITION_TIME_S
    events = some_conflict_trials().decode().splitlines()
    later = [line.split("\t") for line in events[1:] if float(line.split("\t")[0]) >= middle_s]
    moved = [[str(float(onset) - middle_s), *others] for onset, *others in later]
    of_half = {"rest": None, "conflict": "\n".join([events[0], *("\t".join(cells) for cells in moved)]).encode()}
    runs = tuple(
        build_run(
            kind,  # type: ignore[arg-type]
            recording_of(bold[N_VOLUMES // 2 :], names),
            confounds_tsv=None,
            confounds_sidecar=None,
            sidecar=None,
            events_tsv=table,
            tasks=load_task_description(),
        )
        for kind, table in of_half.items()
    )
    alone = extract_features(BaselineSession(runs), recipe)
    vector = extract_features(visit(("rest", "conflict"), bold=bold), recipe, halves=True)
    # Rest is cleaned whole and cut afterwards, see test_run_halves.py.
    is_compared = [feature_source(d) == "conflict" and d.family != "quality" for d in vector.definitions]
    assert np.isfinite(vector.second_half[is_compared]).all()
    assert vector.second_half[is_compared] == pytest.approx(alone.values[is_compared], rel=1e-9)


def test_halves_of_white_noise_do_not_agree_and_halves_of_a_strong_pair_do(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    bold = raw_bold(12)
    bold[:, 4] = 900 + (bold[:, 0] - bold[:, 0].mean()) + np.random.default_rng(2).standard_normal(N_VOLUMES)
    first, second = extract_features(visit(("rest",), bold=bold), default_recipe(), halves=True).halves_by_name()
    strong, weak = "rest_fisher_z__amygdala_L__vmPFC", "rest_fisher_z__amygdala_R__vmPFC"
    assert min(first[strong], second[strong]) > 1.5
    assert max(abs(first[weak]), abs(second[weak])) < 0.9
    assert first["quality_median_temporal_snr__rest"] is None
    assert first["quality_share_censored__rest"] == 0


def test_a_half_too_short_has_no_features_and_takes_nothing_from_the_whole(
    visit: Callable[..., BaselineSession],
) -> None:
    recipe = replace(default_recipe(), minimum_volumes=150)
    vector = extract_features(visit(("rest",)), recipe, halves=True)
    edge = vector.names.index("rest_fisher_z__amygdala_L__vmPFC")
    assert np.isfinite(vector.values[edge])
    assert np.isnan([vector.first_half[edge], vector.second_half[edge]]).all()


def test_runs_of_a_kind_are_weighted_by_what_is_left_of_them(visit: Callable[..., BaselineSession]) -> None:
    recipe = default_recipe()
    first, second = visit(("faces",)).runs[0], visit(("faces",), moved=tuple(range(20, 60))).runs[0]
    parts = [extract_features(BaselineSession((run,)), recipe) for run in (first, second)]
    together = extract_features(BaselineSession((first, replace(second, number=2))), recipe)
    weights = np.array([N_VOLUMES, N_VOLUMES - 40]) / (2 * N_VOLUMES - 40)
    of_faces = [feature_source(d) == "faces" for d in together.definitions]
    expected = weights @ [part.values for part in parts]
    assert together.values[of_faces] == pytest.approx(expected[of_faces], rel=1e-9)
    errors = np.hypot(*(weight * part.standard_errors for weight, part in zip(weights, parts, strict=True)))
    assert together.standard_errors[of_faces] == pytest.approx(errors[of_faces], rel=1e-9, nan_ok=True)


def test_a_second_run_that_cannot_be_used_changes_nothing(visit: Callable[..., BaselineSession]) -> None:
    good, recipe = visit(("faces",)).runs[0], default_recipe()
    silent = replace(visit(("faces",), with_events=False).runs[0], number=2)
    alone, both = (extract_features(BaselineSession(runs), recipe) for runs in ((good,), (good, silent)))
    task = [d.family in {"activation_faces", "gppi_faces", "rdcm_faces"} for d in both.definitions]
    assert np.array_equal(alone.values[task], both.values[task])
    assert np.array_equal(alone.standard_errors[task], both.standard_errors[task])
    assert np.isfinite(both.values[task]).all()


def test_with_no_usable_run_the_first_run_s_reason_is_given(visit: Callable[..., BaselineSession]) -> None:
    silent = visit(("faces",), with_events=False).runs[0]
    restless = replace(visit(("faces",), moved=tuple(range(180))).runs[0], number=2)
    reasons = reasons_by_name(BaselineSession((silent, restless)), default_recipe())
    assert reasons["gppi_faces__amygdala_L__vmPFC"] == "the faces run has no events table."


def test_an_absent_run_makes_its_features_missing_and_leaves_the_others(visit: Callable[..., BaselineSession]) -> None:
    reasons = reasons_by_name(visit(("rest",)), default_recipe())
    for definition in feature_definitions(default_recipe()):
        source = feature_source(definition)
        expected = None if source == "rest" else f"no {source} run"
        assert reasons[definition.name] == expected, definition.name
    without_rest = reasons_by_name(visit(("faces", "conflict")), default_recipe())
    assert set(without_rest.values()) == {None, "no rest run"}


def test_an_uncovered_region_takes_only_its_own_features_with_it(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    names = load_circuit().region_names
    coverage = np.ones(len(names))
    coverage[0], coverage[4] = 0.23, 0.0
    bold = raw_bold(len(names))
    bold[:, 4] = np.nan
    reasons = reasons_by_name(visit(bold=bold, coverage=coverage), default_recipe())
    for name, reason in reasons.items():
        ends = name.split("__")[1:]
        expected = None
        if names[4] in ends:
            expected = f"region not covered (0%): {names[4]}"
        if names[0] in ends:
            expected = (expected, f"region not covered (23%): {names[0]}")
        assert reason in (expected if isinstance(expected, tuple) else (expected,)), name
        assert (reason is None) == (names[0] not in ends and names[4] not in ends)


def test_a_region_that_drops_out_inside_the_brain_is_never_a_zero(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    names = load_circuit().region_names
    bold = raw_bold(len(names))
    bold[:, 2] = 0.0
    vector = extract_features(visit(bold=bold), default_recipe())
    for name, value, reason in zip(vector.names, vector.values, vector.missing_reasons, strict=True):
        if names[2] in name.split("__"):
            assert np.isnan(value)
            assert reason == f"region without any change of signal: {names[2]}"
        else:
            assert reason is None


def test_without_a_control_condition_faces_are_not_compared_with_rest(visit: Callable[..., BaselineSession]) -> None:
    session = visit(("faces",))
    run = session.runs[0]
    assert run.events is not None
    only_faces = tuple(name if name == "faces" else None for name in run.events.condition)
    session = BaselineSession((replace(run, events=replace(run.events, condition=only_faces)),))
    reasons = reasons_by_name(session, default_recipe())
    task = {reason for name, reason in reasons.items() if name.startswith(("gppi_", "activation_faces", "rdcm_faces"))}
    assert task == {"the faces run has no events of the condition control."}


def test_without_events_the_task_features_are_missing(visit: Callable[..., BaselineSession]) -> None:
    reasons = reasons_by_name(visit(("faces",), with_events=False), default_recipe())
    assert reasons["activation_faces__vmPFC"] == "the faces run has no events table."


def test_without_a_repetition_time_only_what_needs_it_is_missing(visit: Callable[..., BaselineSession]) -> None:
    session = visit(repetition_time_s=None)
    filtered = reasons_by_name(session, default_recipe())
    unfiltered = reasons_by_name(session, replace(default_recipe(), high_pass_hz=None, low_pass_hz=None))
    edge = "rest_fisher_z__amygdala_L__vmPFC"
    assert "repetition time is unknown" in str(filtered[edge])
    assert unfiltered[edge] is None
    assert "repetition time is unknown" in str(unfiltered["activation_faces__vmPFC"])
    assert unfiltered["quality_share_censored__rest"] is None


def test_a_run_with_too_few_volumes_left_is_missing_with_the_count(visit: Callable[..., BaselineSession]) -> None:
    session = visit(moved=tuple(range(10, 180)))
    reasons = reasons_by_name(session, default_recipe())
    assert reasons["rest_partial__amygdala_L__vmPFC"] == "only 30 volumes of the rest run are usable; 50 are needed."
    assert reasons["gppi_faces__amygdala_L__vmPFC"] == "only 30 volumes of the faces run are usable; 50 are needed."


def test_two_regions_with_one_signal_make_rest_missing_with_their_names(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    names = load_circuit().region_names
    bold = raw_bold(len(names))
    bold[:, 1] = bold[:, 0]
    reasons = reasons_by_name(visit(("rest",), bold=bold), default_recipe())
    assert "amygdala_L and amygdala_R" in str(reasons["rest_fisher_z__amygdala_L__vmPFC"])


def test_task_features_are_the_contrasts_of_the_pure_functions(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    bold = raw_bold(12)
    recipe = replace(default_recipe(), confound_strategy="none")
    values = extract_features(visit(("faces",), bold=bold), recipe).by_name()
    percent = 100 * (bold - bold.mean(axis=0)) / bold.mean(axis=0)
    grid = MicrotimeGrid(N_VOLUMES, REPETITION_TIME_S)
    drift = cosine_drift(N_VOLUMES, REPETITION_TIME_S, 128.0)
    seeds = seed_signals(percent, face_conditions(), grid, drift=drift)
    matrix = gppi_estimates(percent, seeds, {"faces": 1.0, "control": -1.0}, drift=drift).effect
    names = load_circuit().region_names
    amygdala, prefrontal = names.index("amygdala_L"), names.index("vmPFC")
    there, back = matrix[amygdala, prefrontal], matrix[prefrontal, amygdala]
    assert values["gppi_faces__amygdala_L__vmPFC"] == pytest.approx(there, rel=1e-9)
    assert values["gppi_faces__vmPFC__amygdala_L"] == pytest.approx(back, rel=1e-9)
    assert values["gppi_faces_mean__amygdala_L__vmPFC"] == pytest.approx((there + back) / 2, rel=1e-9)
    design = activation_design(face_conditions(), grid)
    least_squares = fit_region_glm(percent, design, drift=drift).betas
    plain = least_squares[0] - least_squares[1]
    # White noise here, so generalised and ordinary least squares nearly agree.
    assert values["activation_faces__vmPFC"] == pytest.approx(plain[prefrontal], abs=0.05 * np.abs(plain).max())


def test_a_planted_response_to_faces_comes_out_in_percent(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    grid = MicrotimeGrid(N_VOLUMES, REPETITION_TIME_S)
    faces = activation_design(face_conditions(), grid).columns[:, 0]
    bold = 1000 + raw_bold(12) * 0.01
    bold[:, 4] += 10 * faces  # one percent of 1000
    values = extract_features(visit(("faces",), bold=bold), default_recipe()).by_name()
    assert values["activation_faces__vmPFC"] == pytest.approx(1.0, abs=0.02)
    assert values["activation_faces__dmPFC"] == pytest.approx(0.0, abs=0.02)


def test_an_artefact_in_a_censored_volume_changes_no_task_feature(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    bold = raw_bold(12)
    struck = bold.copy()
    struck[80] += 300.0
    # The percentage is of the mean of all volumes, so the artefact must not move it.
    struck[81] -= 300.0
    before, after = (
        extract_features(visit(("faces",), bold=signals, moved=(80, 81)), default_recipe())
        for signals in (bold, struck)
    )
    task = [name for name in before.names if name.startswith(("gppi_", "activation_faces", "rdcm_faces"))]
    unlike = [abs(after.by_name()[name] - before.by_name()[name]) for name in task]
    assert max(unlike) < 1e-3


def test_region_tables_follow_the_published_steps(rng: np.random.Generator) -> None:
    names = ("GlobSig", *(f"region_{number}" for number in range(8)))
    bold = rng.standard_normal((120, len(names))) @ rng.standard_normal((len(names), len(names))) + 500
    bold += np.linspace(0, 3, 120)[:, None]  # a trend that the study did not remove
    displacement = rng.uniform(0.01, 0.14, 120)
    displacement[[7, 30, 31]] = 0.151
    table = "\n".join(["framewise_displacement", "n/a", *map(str, displacement[1:])]).encode()
    recipe = region_table_recipe(names, censor_framewise_displacement_mm=0.15)
    run = build_run(
        "rest",
        recording_of(bold, names, coverage=np.full(len(names), np.nan), repetition_time_s=None),
        confounds_tsv=table,
        confounds_sidecar=None,
        sidecar=None,
        events_tsv=None,
        tasks=load_task_description(),
    )
    vector = extract_features(BaselineSession((run,)), recipe)
    kept = np.delete(bold, [7, 30, 31], axis=0)
    z_scored = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    measure = ConnectivityMeasure(LedoitWolf(), kind="partial correlation")
    expected = measure.fit_transform([z_scored])[0][np.triu_indices(len(names), k=1)]
    assert np.isnan(vector.standard_errors).all()  # without a repetition time a block has no length
    assert np.tanh(vector.values) == pytest.approx(expected, abs=1e-6)
    assert vector.names[0] == "rest_partial__GlobSig__region_0"


def test_values_follow_names_whatever_the_order_of_the_recording(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    names = load_circuit().region_names
    bold, order = raw_bold(len(names)), np.random.default_rng(3).permutation(len(names))
    straight = extract_features(visit(bold=bold), default_recipe())
    shuffled = extract_features(
        visit(bold=bold[:, order], names=tuple(names[position] for position in order)), default_recipe()
    )
    assert shuffled.values == pytest.approx(straight.values, rel=1e-6, abs=1e-9)


def test_a_circuit_of_two_regions_works(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    pair = Circuit("pair", "MNI", (Region("a", "a"), Region("b", "b")), (Edge("a", "b"),))
    recipe = replace(default_recipe(), circuit=pair)
    vector = extract_features(visit(bold=raw_bold(2), names=("a", "b")), recipe)
    assert np.isfinite(vector.values).all()
    alone = extract_features(visit(bold=raw_bold(1), names=("a",)), recipe).by_name()
    assert alone["rest_fisher_z__a__b"] is None
    assert alone["activation_faces__a"] is not None


def test_signals_of_absurd_size_give_reasons_and_no_infinities(
    visit: Callable[..., BaselineSession], raw_bold: Callable[[int], Floats]
) -> None:
    bold = raw_bold(12)
    bold[:, 3] *= 1e25
    bold[:, 5] *= 1e-25
    vector = extract_features(visit(bold=bold), default_recipe())
    assert all(
        np.isfinite(value) or reason for value, reason in zip(vector.values, vector.missing_reasons, strict=True)
    )


def test_quality_is_judged_with_the_recipe_s_censoring(visit: Callable[..., BaselineSession]) -> None:
    session = visit(moved=(20, 21, 22, 23))
    recipe = default_recipe()
    lenient = replace(recipe, censor_framewise_displacement_mm=3.0)
    assert session_quality(session, recipe).runs[0].share_censored == pytest.approx(4 / N_VOLUMES)
    assert session_quality(session, lenient).runs[0].share_censored == 0
    assert extract_features(session, recipe).by_name()["quality_share_censored__rest"] == pytest.approx(4 / N_VOLUMES)
