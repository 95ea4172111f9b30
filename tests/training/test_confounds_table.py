from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.scan.confounds import CONFOUND_STRATEGIES, read_confounds, select_confounds
from training.simulation.confounds_table import confounds_table, discrete_cosines
from training.simulation.head_motion import HeadMotion, draw_head_motion
from training.simulation.images import SCANNERS, RunImage, brain_grid, simulate_run

N_VOLUMES = 140


@pytest.fixture(scope="module")
def run() -> tuple[RunImage, HeadMotion]:
    rng = np.random.default_rng(8)
    motion = draw_head_motion(0.25, N_VOLUMES, rng)
    return simulate_run(brain_grid(load_circuit()), np.zeros((N_VOLUMES, 12)), motion, SCANNERS["north"], rng), motion


@pytest.fixture(scope="module")
def written(run: tuple[RunImage, HeadMotion]) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    return confounds_table(*run, 2.0)


@pytest.mark.parametrize("strategy", list(CONFOUND_STRATEGIES))
def test_every_confound_strategy_finds_its_columns(
    strategy: str, written: tuple[pd.DataFrame, dict[str, dict[str, object]]]
) -> None:
    text = io.StringIO()
    written[0].to_csv(text, sep="\t", index=False, na_rep="n/a")
    table = read_confounds(text.getvalue().encode(), json.dumps(written[1]).encode(), n_volumes=N_VOLUMES)
    selected = select_confounds(table, strategy, censor_framewise_displacement_mm=0.5)
    assert selected.strategy_used == strategy
    assert selected.fallback_reason is None


def test_expansions_are_differences_and_squares(written: tuple[pd.DataFrame, dict[str, dict[str, object]]]) -> None:
    table = written[0]
    for name in ("trans_x", "rot_z", "csf", "global_signal"):
        assert table[f"{name}_derivative1"].to_numpy()[1:] == pytest.approx(np.diff(table[name]))
        assert table[f"{name}_power2"].to_numpy() == pytest.approx(table[name].to_numpy() ** 2)
        assert table[f"{name}_derivative1_power2"].to_numpy()[1:] == pytest.approx(np.diff(table[name]) ** 2)


def test_first_volume_has_no_displacement_and_no_dvars(
    written: tuple[pd.DataFrame, dict[str, dict[str, object]]],
) -> None:
    assert written[0].loc[0, ["framewise_displacement", "dvars", "std_dvars", "trans_x_derivative1"]].isna().all()
    assert written[0].loc[1:].notna().all().all()


def test_dvars_is_the_root_mean_square_change_of_the_brain(
    run: tuple[RunImage, HeadMotion], written: tuple[pd.DataFrame, dict[str, dict[str, object]]]
) -> None:
    change = np.diff(run[0].voxels.astype(float), axis=0)
    assert written[0]["dvars"].to_numpy()[1:] == pytest.approx(np.sqrt((change**2).mean(axis=1)), rel=1e-5)
    assert 0.8 < np.median(written[0]["std_dvars"].to_numpy()[1:]) < 1.2


def test_components_are_orthonormal_and_described(written: tuple[pd.DataFrame, dict[str, dict[str, object]]]) -> None:
    table, sidecar = written
    for prefix, mask in (("a_comp_cor", "combined"), ("c_comp_cor", "CSF"), ("w_comp_cor", "WM")):
        names = [name for name in table if name.startswith(prefix)]
        components = table[names].to_numpy()
        assert components.T @ components == pytest.approx(np.eye(5), abs=1e-8)
        assert {sidecar[name]["Mask"] for name in names} == {mask}


def test_jerks_are_marked_as_outliers(written: tuple[pd.DataFrame, dict[str, dict[str, object]]]) -> None:
    table = written[0]
    moved = set(np.flatnonzero(table["framewise_displacement"].to_numpy() > 0.5))
    marked = {int(table[name].to_numpy().argmax()) for name in table if name.startswith("motion_outlier")}
    assert moved
    assert moved <= marked


def test_cosines_are_slow_and_orthonormal() -> None:
    cosines = discrete_cosines(240, 2.0)
    assert cosines.shape == (240, 7)  # periods above 128 s in 480 s
    assert cosines.T @ cosines == pytest.approx(np.eye(7), abs=1e-10)
