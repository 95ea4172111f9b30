"""The result of an experiment as lines for the screen."""

from __future__ import annotations

from collections.abc import Iterator

from training.experiment import ExperimentResult
from training.model_result import ModelResult


def result_lines(result: ExperimentResult) -> Iterator[str]:
    """One line per model: R2 with its interval, p of the primary, and by how much the primary's error is smaller."""
    for model in result.models:
        metrics = model.metrics
        r2 = f"R2 {short(metrics.r2)}"
        if model.name != "constant":
            r2 += f" [{short(metrics.r2_interval.lower)}, {short(metrics.r2_interval.upper)}]"
        yield f"  {model.name.replace('_', ' '):<18} {r2:<24} {_remark(model, result)}".rstrip()
    isolation = result.fold_isolation
    found = "passed" if isolation.passed else f"FAILED at {isolation.leaking_step}"
    yield f"  fold isolation     {found} ({isolation.n_folds} folds, {isolation.n_values_compared} fitted values)"
    yield f"  registered         {result.registered.name} v{result.registered.version} -> candidate"


def short(value: float) -> str:
    """Two decimals without the leading zero: .46, -.01, 1.00."""
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def _remark(model: ModelResult, result: ExperimentResult) -> str:
    if model.role == "primary":
        test = result.permutation
        mae = f"MAE {model.metrics.mae:.3g}"
        return f"p = {short(test.p_value)} ({len(test.null_r2)} permutations)  {mae}" if test else mae
    assert model.gain_of_primary is not None, "every other model was compared with the primary"
    interval, difference = model.gain_of_primary.corrected_interval, model.gain_of_primary.difference
    return f"primary's squared error is smaller by {difference:.3g} [{interval.lower:.3g}, {interval.upper:.3g}]"
