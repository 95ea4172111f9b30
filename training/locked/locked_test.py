"""One locked test on one screen: who is there -> nobody from training -> answers -> opening written down -> numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor import console
from predictor.errors import RefusedError, SharedParticipantsError, TableError
from predictor.model.bundle import ModelBundle
from predictor.model.person_inputs import person_inputs
from predictor.pipeline import score_features
from training.evaluation.external_test import N_PERMUTATIONS, external_test
from training.locked.locked_cohort import LockedCohort
from training.locked.locked_reference import LockedReference, reference_of
from training.locked.locked_result import LockedNumbers, locked_result
from training.locked.openings import Opening, OpeningLog, now, refuse_second
from training.report.locked_test_page import locked_test_page

Floats = NDArray[np.float64]

FEWEST_PEOPLE = 10  # answered for; with fewer, one person is a tenth of every number


@dataclass(frozen=True, slots=True)
class SharedCheck:
    """How the new people were held against those of the training."""

    participants: str  # "compared", or why not
    rows: str  # likewise

    def document(self) -> dict[str, str]:
        """Fields by name."""
        return {"participant_ids": self.participants, "feature_rows": self.rows}


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the model says about everyone, without a look at the outcome."""

    documents: tuple[dict[str, Any], ...]  # answer documents, in the order of the cohort
    inputs: Floats  # (n_people, n_inputs), as the model sees them
    is_answered: NDArray[np.bool_]  # (n_people,)


def run_locked_test(
    bundle: ModelBundle,
    cohort: LockedCohort,
    openings: OpeningLog,
    *,
    label: str,
    trained_on: Collection[str] | None,
    is_other_study: bool = False,
    again: bool = False,
    is_synthetic: bool = False,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Test a locked model on people whom no step of its training has seen, and keep the result beside the opening.

    Everything that can go wrong goes wrong before the opening is written down, and nothing is computed from an outcome
    before that.

    Parameters
    ----------
    bundle
        The locked model, as loaded.
    cohort
        The new people.
    openings
        Where openings of this model are written down.
    label
        What to call the model: "ketamine-response/3".
    trained_on
        Participant ids of the training; None where no one knows them.
    is_other_study
        Whether the ids of this cohort were given apart from those of the training, so that equal ones mean nothing.
    again
        Open once more, on purpose.
    is_synthetic
        Whether the people were simulated.
    n_permutations, seed
        Of the permutation test; and of bootstraps.

    Returns
    -------
    dict
        The result, aggregates only, ready for JSON.

    Raises
    ------
    SharedParticipantsError
        If someone was in the training, by id or by features.
    AlreadyOpenedError
        If the model was tested before and `again` is not said.
    RefusedError
        If the model answers for fewer than ten of the people.
    BundleIncompatibleError
        If the bundle keeps nothing for a locked test.
    """
    reference = reference_of(bundle)
    check = refuse_shared(cohort, reference, trained_on, is_other_study=is_other_study)
    earlier, digest = openings.earlier(), str(bundle.digest)
    refuse_second(earlier, digest, again=again)
    answers = answer_all(bundle, cohort)
    baselines, left_out = baseline_predictions(reference, cohort)
    opening = Opening(digest, cohort.digest, cohort.name, now())
    with openings.open(opening, again=again) as record:
        numbers = _measure(cohort, reference, answers, baselines, n_permutations=n_permutations, seed=seed)
        document = locked_result(
            bundle, cohort, reference, numbers,
            label=label, check=check.document(), earlier=earlier, opening=opening, left_out=left_out,
            is_synthetic=is_synthetic, seed=seed,
        )  # fmt: skip
        record.result(document, locked_test_page(document))
    return document


def refuse_shared(
    cohort: LockedCohort, reference: LockedReference, trained_on: Collection[str] | None, *, is_other_study: bool
) -> SharedCheck:
    """Refuse people of the training; says how many there are, never who.

    Raises
    ------
    SharedParticipantsError
        If there are any.
    """
    known = set() if trained_on is None or is_other_study else set(trained_on)
    n_ids = sum(name in known for name in cohort.participants)
    marks = reference.fingerprints
    n_same, n_near = marks.n_shared(cohort.features.to_numpy(dtype=np.float64))
    found = [
        f"{n} with {what}"
        for n, what in ((n_ids, "the id"), (n_same, "the values"), (n_near, "nearly the values"))
        if n
    ]
    if found:
        raise SharedParticipantsError(
            f"expected nobody from the training, found {', '.join(found)} of a training person among "
            f"{len(cohort.participants)} people.",
            where=cohort.name,
        )
    ids = "compared" if known else "ids are of another study" if is_other_study else "the training ids are not known"
    if not marks.row_marks:
        rows = "not possible: the model has too few continuous features to recognise a row"
    else:
        rows = "compared, near copies too" if marks.bands else "compared; near copies cannot be recognised"
    return SharedCheck(ids, rows)


def answer_all(bundle: ModelBundle, cohort: LockedCohort) -> Answers:
    """Score everyone with the function that the service uses.

    Raises
    ------
    TableError
        If a covariate has an unknown level.
    RefusedError
        If the model answers for fewer than ten people.
    """
    documents, inputs = [], []
    for row in console.progress(range(len(cohort.outcome)), total=len(cohort.outcome), label="Score the new people"):
        features, covariates = cohort.features_of(row), cohort.covariates_of(row)
        recipe_hash = cohort.recipe_hashes[row]
        documents.append(score_features(features, covariates, bundle, recipe_hash=recipe_hash, input_digest=None))
        inputs.append(person_inputs(features, covariates, bundle).values)
    is_answered = np.array(["arms" in one for one in documents])
    if is_answered.sum() < FEWEST_PEOPLE:
        codes = sorted({r["code"] for d in documents for r in d["reasons"] if r["severity"] == "refuse"})
        why = f" ({', '.join(codes)})" if codes else ""
        raise RefusedError(
            f"expected answers for at least {FEWEST_PEOPLE} people, got {int(is_answered.sum())} for "
            f"{len(documents)}{why}; nothing was opened.",
            where=cohort.name,
        )
    return Answers(tuple(documents), np.array(inputs), is_answered)


def baseline_predictions(reference: LockedReference, cohort: LockedCohort) -> tuple[dict[str, Floats], dict[str, str]]:
    """Return what models without the brain say about everyone, and why some of them cannot."""
    found: dict[str, Floats] = {}
    left_out: dict[str, str] = {}
    for baseline in reference.baselines:
        absent = [name for name in baseline.columns if name not in cohort.known]
        if absent:
            left_out[baseline.name] = f"this cohort lacks {', '.join(absent)}"
            continue
        try:
            found[baseline.name] = baseline.predict(cohort.known)
        except TableError as error:
            left_out[baseline.name] = f"a column cannot be used: {error.where or 'unknown level'}"
    return found, left_out


def _measure(
    cohort: LockedCohort,
    reference: LockedReference,
    answers: Answers,
    baselines: Mapping[str, Floats],
    *,
    n_permutations: int,
    seed: int,
) -> LockedNumbers:
    """Hold the answers against the outcomes, beside the baselines."""
    keep = answers.is_answered
    answered = [one for one in answers.documents if "arms" in one]
    arms = [arm for arm, is_kept in zip(cohort.arms, keep, strict=True) if is_kept]
    own = [one["arms"][arm] for one, arm in zip(answered, arms, strict=True)]
    prediction, outcome = np.array([one["expected"] for one in own]), cohort.outcome[keep]
    test = external_test(
        prediction,
        outcome,
        training_mean=reference.outcome_mean,
        baselines={name: one[keep] for name, one in baselines.items()},
        seed=seed,
        n_permutations=n_permutations,
    )
    return LockedNumbers(
        test=test, answers=answers.documents, own=tuple(own), arms=tuple(arms), is_answered=keep, inputs=answers.inputs,
        prediction=prediction, outcome=outcome,
    )  # fmt: skip
