"""A multiverse as one JSON document: aggregates only, made once, shown by table, figure, page and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.permutation import PermutationTest
from training.multiverse.multiverse import MultiverseResult, UniverseResult
from training.report.cohort_record import is_synthetic

SCHEMA = 1
CAUTION = (
    "The registered universe is the result; the others say how much it hangs on decisions. Picking the best universe "
    "afterwards is a forking path: its R2 is the highest of many and too high on average."
)


def multiverse_document(result: MultiverseResult) -> dict[str, Any]:
    """Return everything that a multiverse found, ready for JSON; no participant's number is in it."""
    config, alternatives = result.plan.config, result.plan.alternatives
    universes = [_universe(one) for one in result.universes]
    return {
        "schema": SCHEMA,
        "research_use_only": True,
        "name": config.name,
        "is_synthetic": is_synthetic(config),
        "config_digest": config.digest,
        "outcome": result.outcome.document(),
        "n_participants": len(result.manifest.participants),
        "n_left_out": result.n_left_out,
        "folds": result.manifest.document(),
        "axes": {
            axis: {"alternatives": list(alternatives.names(axis)), "registered": registered}
            for axis, registered in alternatives.registered.items()
        },
        "is_full_cross": not alternatives.universes,
        "universes": universes,
        "summary": _summary(universes),
        "by_alternative": _by_alternative(universes),
        "chance_of_the_best": _chance(result.chance),
        "caution": CAUTION,
        "seconds": result.seconds,
    }


def _universe(one: UniverseResult) -> dict[str, Any]:
    metrics, gain, clinical = one.metrics, one.gain, one.clinical_gain
    return {
        "number": one.universe.number,
        "choice": dict(one.universe.choice),
        "registered": one.universe.is_registered,
        "model": one.universe.config.model.primary,
        "n_features": one.n_features,
        "features_digest": one.features_digest,
        "r2": metrics.r2,
        "r2_lower": metrics.r2_interval.lower,
        "r2_upper": metrics.r2_interval.upper,
        "mae": metrics.mae,
        "baseline": one.baseline,
        "baseline_r2": one.baseline_r2,
        "gain": gain.difference,
        "gain_lower": gain.corrected_interval.lower,
        "gain_upper": gain.corrected_interval.upper,
        "gain_over_arm_clinical": None if clinical is None else clinical.difference,
        "gain_over_arm_clinical_lower": None if clinical is None else clinical.corrected_interval.lower,
        "is_better": one.is_better,
        "is_surely_better": one.is_surely_better,
    }


def _summary(universes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of universes that beat their strongest baseline, the range of R2, and where the registered one stands."""
    r2 = np.array([one["r2"] for one in universes])
    return {
        "n_universes": len(universes),
        "n_better": sum(one["is_better"] for one in universes),
        "n_surely_better": sum(one["is_surely_better"] for one in universes),
        "share_better": float(np.mean([one["is_better"] for one in universes])),
        "share_surely_better": float(np.mean([one["is_surely_better"] for one in universes])),
        "r2_lowest": float(r2.min()),
        "r2_median": float(np.median(r2)),
        "r2_highest": float(r2.max()),
        "registered_r2": float(r2[0]),
        "registered_rank": int((r2 > r2[0]).sum()) + 1,  # 1: the highest R2
    }


def _by_alternative(universes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Median R2 and share of better universes for every alternative, over all that the other axes do."""
    rows = []
    for axis in universes[0]["choice"]:
        for alternative in dict.fromkeys(one["choice"][axis] for one in universes):
            those = [one for one in universes if one["choice"][axis] == alternative]
            rows.append(
                {
                    "axis": axis,
                    "alternative": alternative,
                    "n": len(those),
                    "r2_median": float(np.median([one["r2"] for one in those])),
                    "share_better": float(np.mean([one["is_better"] for one in those])),
                }
            )
    return rows


def _chance(test: PermutationTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    return {
        "observed_r2": test.observed_r2,
        "p_value": test.p_value,
        "n_permutations": len(test.null_r2),
        "null_r2_95": float(np.quantile(test.null_r2, 0.95)),
        "null_hypothesis": test.null_hypothesis,
        "statistic": "the highest R2 of one repeat over all universes",
    }
