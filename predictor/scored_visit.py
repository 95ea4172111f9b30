"""The answer for one visit as an object: to look at, to ask, to draw, to put into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from predictor import pipeline
from predictor.argument_kind import check_kind
from predictor.errors import ExplanationAbsentError
from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import CovariateValue
from predictor.record_card import PresentedRecord, RecordCard, counted
from predictor.report.intervals import intervals_svg
from predictor.report.summary import NOT_ANSWERED
from predictor.report.waterfall import waterfall_svg
from predictor.report.wording import feature_in_words, in_percent, outcome_in_words, quantity
from predictor.scan.session import BaselineSession

if TYPE_CHECKING:
    import pandas as pd

NO_COVARIATES: Mapping[str, CovariateValue] = MappingProxyType({})
N_CONTRIBUTIONS_SHOWN = 5
_CALL: Final = "Call score_session(read_session(folder), load_bundle(folder), covariates={...})."


def score_session(
    session: BaselineSession, bundle: ModelBundle, *, covariates: Mapping[str, CovariateValue] = NO_COVARIATES
) -> ScoredVisit:
    """Answer for one visit's scans, as `krp score` and the service do.

    Parameters
    ----------
    session
        The visit, read with the bundle's recipe: `read_session(folder, recipe=bundle.recipe)`.
    bundle
        The model.
    covariates
        What the model wants to know besides the scan, by name; the arm is not asked for, every arm is answered for.

    Returns
    -------
    ScoredVisit
        Its `answer` is the document of `predictor.pipeline.score_session`.

    Raises
    ------
    UsageError
        If the arguments were mixed up.
    CircuitMismatchError
        If the visit was read for other regions than the model's.
    BundleIncompatibleError
        If the model was trained on ready features.
    TableError
        If a covariate or one of its levels is unknown.
    """
    check_kind(session, BaselineSession, what="a visit as first argument", remedy=_CALL)
    check_kind(bundle, ModelBundle, what="a model as second argument", remedy=_CALL)
    check_kind(covariates, Mapping, what="a mapping from name to value as covariates", remedy=_CALL)
    return ScoredVisit(pipeline.score_session(session, covariates, bundle))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as SVG; a notebook shows it."""

    svg: str

    def __repr__(self) -> str:
        return f"Drawing({len(self.svg)} bytes of SVG)"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: Path | str) -> None:
        """Write it to a file."""
        Path(path).write_text(self.svg, encoding="utf-8")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScoredVisit(PresentedRecord):
    """What the model answers for one visit. It carries no name.

    Numbers are in the outcome's unit. A refused visit has reasons and quality, and no numbers.
    """

    answer: Mapping[str, Any]  # the answer document, the same as from `krp score` and the service

    @property
    def status(self) -> str:
        """Return "ok", "flagged" or "refused"."""
        return str(self.answer["status"])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is flagged or refused, one sentence each."""
        return tuple(
            f"{reason['code']} ({reason['severity']}): {reason['detail']}" for reason in self.answer["reasons"]
        )

    @property
    def expected(self) -> dict[str, float]:
        """Expected outcome by arm; empty when refused."""
        return {arm: float(found["expected"]) for arm, found in self._arms.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Prediction interval by arm: where a person like this one lands; empty when refused."""
        bounds = {arm: found["interval"] for arm, found in self._arms.items()}
        return {arm: (float(found["lower"]), float(found["upper"])) for arm, found in bounds.items()}

    @property
    def sentence(self) -> str:
        """Return the answer's explanation in one sentence, or that there is none."""
        if self.status == "refused":
            return NOT_ANSWERED
        explanation = self.answer.get("explanation")
        return str(explanation["sentence"]) if explanation else "The explanation is withheld."

    def contributions(self) -> pd.DataFrame:
        """Return what every input adds to the expected outcome, the largest first.

        Returns
        -------
        DataFrame
            Index `feature`; columns value, unit, contribution (in the outcome's unit), circuit, kind,
            fold_sign_agreement. Base value plus contributions is the expected outcome of the explained arm.

        Raises
        ------
        ExplanationAbsentError
            If the answer was refused, or its explanation withheld.
        """
        import pandas as pd

        return pd.DataFrame(self._ordered()).set_index("feature")

    def waterfall(self, *, n_top: int = 10, width: float = 720) -> Drawing:
        """Return the inputs' contributions as a drawing that starts at the average and ends at the answer.

        Raises
        ------
        ExplanationAbsentError
            If the answer was refused, or its explanation withheld.
        """
        return Drawing(waterfall_svg(self.answer, n_top=n_top, width=width))

    def interval_figure(self, *, width: float = 720) -> Drawing:
        """Return every arm's expected outcome with its interval as a drawing.

        Raises
        ------
        ExplanationAbsentError
            If the answer was refused.
        """
        if not self._arms:
            raise ExplanationAbsentError("the answer was refused, so there is nothing to draw.")
        return Drawing(intervals_svg(self.answer, width=width))

    def to_json(self) -> bytes:
        """Return the bytes that `krp score --json` would print."""
        return answer_bytes(self.answer)

    @property
    def _arms(self) -> Mapping[str, Any]:
        return self.answer.get("arms") or {}

    def _ordered(self) -> list[dict[str, Any]]:
        explanation = self.answer.get("explanation")
        if not explanation:
            raise ExplanationAbsentError("the answer has no explanation.")
        return sorted(explanation["contributions"], key=lambda item: -abs(item["contribution"]))

    def _one_line(self) -> str:
        arms = "; ".join(f"{arm} {_with_interval(found, self._unit)}" for arm, found in self._arms.items())
        reasons = [counted(len(self.answer["reasons"]), "reason")] if self.answer["reasons"] else []
        return ", ".join([self.status, *filter(None, [arms]), *reasons, "research use only"])

    def _card(self) -> RecordCard:
        outcome, model = self.answer["outcome"], self.answer["model"]
        levels = {in_percent(found["interval"]["level"]) for found in self._arms.values()}
        arms = tuple(
            (
                "this visit" if arm == "all" else arm,
                _with_interval(found, self._unit),
                "no rule" if found["response_probability"] is None else in_percent(found["response_probability"]),
            )
            for arm, found in self._arms.items()
        )
        promoted = "promoted" if model["promoted"] else "not promoted"
        about = f"model {model['name']}, trained on {counted(model['trained_on'], 'person', 'people')}, {promoted}"
        return RecordCard(
            title=f"{outcome_in_words(outcome['name'])}: {self.status}",
            columns=("arm", f"expected [{' or '.join(levels)} interval]", outcome["response_rule"] or "response"),
            rows=arms,
            remarks=(self.sentence, *self._benefit(), *self._largest(), *self.reasons, about),
            is_about_a_person=True,
        )

    def _benefit(self) -> Sequence[str]:
        benefit = self.answer.get("benefit")
        if not benefit:
            return ()
        return (f"Benefit {_with_interval(benefit, self._unit)}, about {benefit['about']}.",)

    def _largest(self) -> Sequence[str]:
        if not self.answer.get("explanation"):
            return ()
        first = self._ordered()[:N_CONTRIBUTIONS_SHOWN]
        named = (
            f"{feature_in_words(one['feature'])} {quantity(one['contribution'], '', signed=True)}" for one in first
        )
        return (f"Largest contributions ({self._unit}): {'; '.join(named)}.",)

    @property
    def _unit(self) -> str:
        return str(self.answer["outcome"]["unit"])


def _with_interval(found: Mapping[str, Any], unit: str) -> str:
    interval = found["interval"]
    low, high = (quantity(interval[end], "") for end in ("lower", "upper"))
    return f"{quantity(found['expected'], unit)} [{low} to {high}]"
