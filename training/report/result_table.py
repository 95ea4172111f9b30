"""The result of an experiment as lines for the screen."""

from __future__ import annotations

from collections.abc import Iterator

from training.evaluation.leak_finding import TITLES
from training.evaluation.metrics import Interval, NotReported
from training.evaluation.permutation import PermutationTest
from training.experiment import ExperimentResult
from training.model_result import ModelResult
from training.models.model_names import CLASSIFIERS
from training.report.short_numbers import short

__all__ = ["result_lines", "short"]


def result_lines(result: ExperimentResult) -> Iterator[str]:
    """One line per model: R2 with its interval, p of the primary, and by how much the primary's error is smaller."""
    who = "primary" if result.primary.role == "primary" else "winner"
    yield f"  {'model':<22} {'cross-validated [95 %]':<22} {who}'s squared error less by"
    for model in result.models:
        yield f"  {model.name.replace('_', ' '):<22} {_worth(model):<22} {_remark(model, result)}".rstrip()
    for line in _beside(result):
        yield f"  {line}"
    audit, proof = result.audit, result.fold_isolation
    isolation = (
        "passed" if audit.passed else f"FAILED at {audit.leaking_steps[0] if audit.leaking_steps else 'no step'}"
    )
    yield _fact("fold isolation", f"{isolation} ({proof.n_folds} folds, {proof.n_values_compared} fitted values)")
    for finding in audit.findings:
        yield _fact(TITLES[finding.severity], finding.line())
    if result.registered:
        yield _fact("registered", f"{result.registered.name} v{result.registered.version} -> candidate")
    else:
        yield _fact("registered", "nothing: models competed, none was named before fitting")
        yield _fact("note", "the winner was chosen on these very folds, so its R2 is too high on average")


def _fact(label: str, text: str) -> str:
    return f"  {label:<22} {text}"


def _worth(model: ModelResult) -> str:
    """R2 with its interval; for models of a response the AUC, which R2 does not describe."""
    if model.name in CLASSIFIERS:
        responders = model.assessment.responders
        return (
            ""
            if isinstance(responders, NotReported)
            else _with_interval("AUC", responders.auc, responders.auc_interval)
        )
    if model.name == "constant":
        return f"R2 {short(model.metrics.r2)}"
    return _with_interval("R2", model.metrics.r2, model.metrics.r2_interval)


def _with_interval(label: str, value: float, interval: Interval) -> str:
    return f"{label} {short(value)} [{short(interval.lower)}, {short(interval.upper)}]"


def _remark(model: ModelResult, result: ExperimentResult) -> str:
    if model.role in ("primary", "winner"):
        mae = f"MAE {model.metrics.mae:.3g}"
        return f"{_chance(result.permutation)}  {mae}" if result.permutation else mae
    if model.gain_of_primary is None:
        return "(predicts the response)"
    interval, difference = model.gain_of_primary.corrected_interval, model.gain_of_primary.difference
    return f"{difference:.3g} [{interval.lower:.3g}, {interval.upper:.3g}]"


def _beside(result: ExperimentResult) -> Iterator[str]:
    """Calibration, responders, benefit, intervals and power of the first model."""
    yield from result.primary.assessment.lines()
    yield from result.benefit.lines()
    if result.coverage:
        yield from result.coverage.lines()
    yield from result.power.lines()


def _chance(test: PermutationTest) -> str:
    n_drawn = len(test.null_r2)
    drawn = f"{n_drawn} of {test.n_planned} permutations, enough" if test.stopped_early else f"{n_drawn} permutations"
    best = f", best of {len(test.competitors)} models" if test.competitors else ""
    return f"p = {short(test.p_value)} ({drawn}{best})"
