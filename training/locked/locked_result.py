"""What a locked test found, as one document of aggregates: nothing in it belongs to a single person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.model.bundle import ModelBundle
from training.evaluation.calibration import calibrate_outcome, calibrate_probability, means_by_prediction
from training.evaluation.classification import ResponseForecast, measure_responders, refuse_forecast
from training.evaluation.external_test import ExternalTest
from training.evaluation.metrics import INTERVAL_LEVEL, NotReported, measure
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.small_cells import FEWEST_SHOWN
from training.locked.drift import Change, FeatureDrift, feature_drift, performance_drift
from training.locked.locked_cohort import LockedCohort
from training.locked.locked_reference import LockedReference
from training.locked.openings import Opening
from training.report.record_reading import with_interval

Floats = NDArray[np.float64]

SCHEMA = 1
FEW_PEOPLE = 100  # below that, error bars are wide (Varoquaux 2018)


@dataclass(frozen=True, slots=True, eq=False)
class LockedNumbers:
    """Predictions and outcomes side by side, of people for whom there is an answer unless said otherwise."""

    test: ExternalTest
    answers: tuple[dict[str, Any], ...]  # answer documents of everyone
    own: tuple[dict[str, Any], ...]  # of the arm that each person was in
    arms: tuple[str, ...]
    is_answered: NDArray[np.bool_]  # of everyone
    inputs: Floats  # of everyone, shape (n_people, n_inputs)
    prediction: Floats  # the outcome's unit
    outcome: Floats

    def out_of_fold(self, training_mean: float, rows: NDArray[np.bool_] | None = None) -> OutOfFold:
        """Predictions as one fold that nobody was trained on."""
        keep = np.ones(len(self.outcome), dtype=bool) if rows is None else rows
        n_people = int(keep.sum())
        return OutOfFold(
            self.outcome[keep],
            self.prediction[keep][np.newaxis],
            np.full((1, n_people), training_mean),
            np.zeros((1, n_people), dtype=np.intp),
            (),
        )


def locked_result(
    bundle: ModelBundle,
    cohort: LockedCohort,
    reference: LockedReference,
    numbers: LockedNumbers,
    *,
    label: str,
    check: Mapping[str, str],
    earlier: Sequence[Opening],
    opening: Opening,
    left_out: Mapping[str, str],
    is_synthetic: bool,
    seed: int,
) -> dict[str, Any]:
    """Write the result down.

    Returns
    -------
    dict
        JSON-able, aggregates only: model, cohort, opening, checks, models (the locked one first), permutation,
        calibration, responders, coverage, calibration_bins, drift, without_duplicates, limits.
    """
    predicted = numbers.out_of_fold(reference.outcome_mean)
    drift = feature_drift(numbers.inputs, bundle, reference.quantiles)
    changes = performance_drift(
        bundle.out_of_fold, numbers.prediction, numbers.outcome, training_mean=reference.outcome_mean, seed=seed
    )
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "research_use_only": True,
        "is_synthetic": is_synthetic,
        "model": _model(bundle, reference, label),
        "outcome": bundle.outcome.document(),
        "cohort": _cohort(cohort, numbers),
        "opening": _opening(earlier, opening),
        "checks": dict(check),
        "models": [asdict(one) for one in numbers.test.models],
        "baselines_left_out": [{"name": name, "reason": reason} for name, reason in left_out.items()],
        "permutation": {"p_value": numbers.test.p_value, "n_permutations": numbers.test.n_permutations},
        "calibration": _part(calibrate_outcome(predicted)),
        "calibration_bins": means_by_prediction(numbers.prediction, numbers.outcome),
        **_responders(bundle, numbers, seed=seed),
        "coverage": _coverage(numbers),
        "drift": _drift(drift, changes, bundle),
        "without_duplicates": _without_duplicates(cohort, numbers, reference, seed=seed),
    }
    return document | {"headline": headline(document), "limits": limits(document)}


def headline(document: Mapping[str, Any]) -> str:
    """Return the result in one sentence."""
    locked, constant = document["models"][0]["metrics"], document["models"][1]["metrics"]
    r2, interval, unit = locked["r2"], locked["r2_interval"], document["outcome"]["unit"]
    verdict = (
        "better than the training mean"
        if interval["lower"] > 0
        else "worse than the training mean" if interval["upper"] < 0
        else "not shown to be better than the training mean"
    )  # fmt: skip
    return (
        f"On {document['cohort']['n_answered']} people of {document['cohort']['name']}, none of them in training, "
        f"{document['model']['label']} reaches R2 {with_interval(r2, interval)} and a "
        f"mean absolute error of {locked['mae']:.2f} {unit}, against {constant['mae']:.2f} of the training mean: "
        f"{verdict} (permutation p = {document['permutation']['p_value']:.2g})."
    )


def limits(document: Mapping[str, Any]) -> list[str]:
    """Sentences on what the numbers do not carry, from the numbers themselves."""
    cohort, opening, drift = document["cohort"], document["opening"], document["drift"]
    n_people, found = cohort["n_answered"], []
    if opening["number"] > 1:
        found.append(f"Opened {opening['number']} times: only the first look was a test of what had been locked.")
    if opening["n_other_models"]:
        found.append(
            f"These very people were used to test other models before ({opening['n_other_models']}); choosing the best "
            "of them is no test."
        )
    if n_people < FEW_PEOPLE:
        found.append(f"{n_people} people are few: another sample of this size could give a quite different R2.")
    unbeaten = [
        one["name"] for one in document["models"][1:] if one["gain_interval"] and one["gain_interval"]["lower"] <= 0
    ]
    if unbeaten:
        found.append(f"Not shown to be better than: {', '.join(unbeaten)}.")
    if cohort["n_refused"]:
        found.append(f"{cohort['n_refused']} people got no answer; nothing is known about the model's error for them.")
    if cohort["n_same_pairs"]:
        pairs = "1 pair" if cohort["n_same_pairs"] == 1 else f"{cohort['n_same_pairs']} pairs"
        found.append(
            f"{pairs} of people with the same features, who are not independent; krp audit on an experiment file of "
            "this cohort names them."
        )
    if document["checks"]["participant_ids"] != "compared":
        found.append(f"Participants were not compared by id: {document['checks']['participant_ids']}.")
    if document["checks"]["feature_rows"] != "compared, near copies too":
        found.append(f"Rows of features: {document['checks']['feature_rows']}.")
    if drift["features"]["n_shifted"]:
        found.append(
            f"{drift['features']['n_shifted']} of {drift['features']['n_tested']} inputs that were tested are "
            "distributed otherwise than in training."
        )
    found.append("Intervals are over people; they do not contain the variation from training the model anew.")
    return found


def _model(bundle: ModelBundle, reference: LockedReference, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "name": bundle.name,
        "digest": bundle.digest,
        "trained_on": bundle.trained_on,
        "training_mean": reference.outcome_mean,
        "training_cohort": bundle.card.get("cohort") if isinstance(bundle.card.get("cohort"), str) else None,
    }


def _cohort(cohort: LockedCohort, numbers: LockedNumbers) -> dict[str, Any]:
    reasons = {
        severity: Counter(
            code
            for answer in numbers.answers
            for code in sorted({one["code"] for one in answer["reasons"] if one["severity"] == severity})
        )
        for severity in ("flag", "refuse")
    }
    return {
        "name": cohort.name,
        "digest": cohort.digest,
        "n_people": len(cohort.outcome),
        "n_answered": len(numbers.outcome),
        "n_refused": int((~numbers.is_answered).sum()),
        "n_flagged": sum(answer["status"] == "flagged" for answer in numbers.answers),
        "n_unusable": cohort.n_unusable,
        "n_per_arm": dict(sorted(Counter(numbers.arms).items())),
        "flags": dict(sorted(reasons["flag"].items())),
        "refusals": dict(sorted(reasons["refuse"].items())),
        "n_same_pairs": len(cohort.same_pairs),
        "n_absent_features": len(cohort.absent_features),
        "outcome": {"mean": float(numbers.outcome.mean()), "sd": float(numbers.outcome.std(ddof=1))},
    }


def _opening(earlier: Sequence[Opening], opening: Opening) -> dict[str, Any]:
    of_model = [one for one in earlier if one.bundle_digest == opening.bundle_digest]
    of_cohort = [one for one in earlier if one.cohort_digest == opening.cohort_digest]
    return {
        "at": opening.at,
        "number": len(of_model) + 1,
        "number_on_this_cohort": sum(one.bundle_digest == opening.bundle_digest for one in of_cohort) + 1,
        "n_other_models": len({one.bundle_digest for one in of_cohort} - {opening.bundle_digest}),
        "earlier": [one.at for one in of_model],
    }


def _responders(bundle: ModelBundle, numbers: LockedNumbers, *, seed: int) -> dict[str, Any]:
    """Return how well the response probabilities do that the answers give."""
    if bundle.outcome.response_threshold is None:
        refused = NotReported(f"the outcome {bundle.outcome.name} has no response rule.")
        return {"responders": _part(refused), "response_calibration": _part(refused)}
    training = bundle.out_of_fold.prediction + bundle.out_of_fold.residual
    n_people = len(numbers.outcome)
    forecast = ResponseForecast(
        is_responder=bundle.outcome.is_response(numbers.outcome),
        probability=np.array([[one["response_probability"] for one in numbers.own]]),
        base_rate=np.full((1, n_people), bundle.outcome.is_response(training).mean()),
        fold_index=np.zeros((1, n_people), dtype=np.intp),
    )
    return {
        "responders": _part(refuse_forecast(forecast) or measure_responders(forecast, seed=seed)),
        "response_calibration": _part(calibrate_probability(forecast)),
    }


def _coverage(numbers: LockedNumbers) -> dict[str, Any]:
    """Return how many outcomes the prediction intervals hold, with Wilson's interval; of arms only if none is small."""
    intervals = [one["interval"] for one in numbers.own]
    is_held = np.array(
        [one["lower"] <= value <= one["upper"] for one, value in zip(intervals, numbers.outcome, strict=True)]
    )
    arms = np.array(numbers.arms)
    names, counts = np.unique(arms, return_counts=True)
    # One small arm hides all: with two, the whole and the other one would tell.
    is_shown, small = counts.min() >= FEWEST_SHOWN, {"not_reported": f"an arm has fewer than {FEWEST_SHOWN}"}
    return {
        "promised": float(intervals[0]["level"]),
        "overall": _share(is_held),
        "by_arm": {str(name): _share(is_held[arms == name]) if is_shown else small for name in names},
    }


def _share(is_held: NDArray[np.bool_]) -> dict[str, Any]:
    found = stats.binomtest(int(is_held.sum()), len(is_held)).proportion_ci(INTERVAL_LEVEL, method="wilson")
    return {"n": len(is_held), "share": float(is_held.mean()), "lower": float(found.low), "upper": float(found.high)}


def _drift(drift: FeatureDrift, changes: Mapping[str, Change], bundle: ModelBundle) -> dict[str, Any]:
    registered = bundle.card.get("metrics")
    return {
        "features": drift.document(),
        "performance": {name: asdict(change) for name, change in changes.items()},
        "performance_in_training": "out of fold, in the partition behind the bundle's intervals",
        # As the experiment judged the model: other folds, more repeats.
        "registered": dict(registered) if isinstance(registered, Mapping) else {"not_reported": "not on the card"},
    }


def _without_duplicates(
    cohort: LockedCohort, numbers: LockedNumbers, reference: LockedReference, *, seed: int
) -> dict[str, Any] | None:
    """Return R2 and MAE with one of each pair left out, or why not; None where there are no pairs.

    Beside the numbers of everyone they would give away the errors of a few who were left out.
    """
    if not cohort.same_pairs:
        return None
    is_first = np.ones(len(cohort.outcome), dtype=bool)
    is_first[[second for _, second in cohort.same_pairs]] = False
    rows = is_first[numbers.is_answered]
    if 0 < (~rows).sum() < FEWEST_SHOWN:
        reason = f"fewer than {FEWEST_SHOWN} people were left out, and the difference would show their errors."
        return {"n": int(rows.sum()), "not_reported": reason}
    metrics = measure(numbers.out_of_fold(reference.outcome_mean, rows), seed=seed)
    return {
        "n": int(rows.sum()),
        "r2": metrics.r2,
        "r2_interval": asdict(metrics.r2_interval),
        "mae": metrics.mae,
        "mae_interval": asdict(metrics.mae_interval),
    }


def _part(part: Any) -> dict[str, Any]:
    return {"not_reported": part.reason} if isinstance(part, NotReported) else asdict(part)
