"""Experiments side by side, read from the log book: what was predicted, on whom, how well, and what the gate said.

R2 of different people or folds cannot be held against each other: experiments on the same people and folds share a
letter, and only those are to be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from string import ascii_uppercase
from typing import Any

from predictor.errors import ModelUnavailableError
from training.log_book.logged_run import LoggedRun, RunSource
from training.report.short_numbers import ABSENT, p_in_words, short, with_interval

KIND = "experiment"
NOT_ASKED = "not asked"
UNREGISTERED = "not registered"
NOT_COMPARABLE = (
    "These experiments were judged on different people or folds (column folds): their R2 cannot be held against each "
    "other. Compare those that share a letter."
)
SAME_FOLDS = "All on the same people and the same folds."
ALONE = "One experiment; nothing to compare it with."


@dataclass(frozen=True, slots=True)
class ComparedExperiment:
    """One run of an experiment, as far as the log book tells; None where it does not."""

    name: str
    run_id: str
    started: str  # ISO 8601, UTC
    is_synthetic: bool
    outcome: str
    n_participants: int | None
    folds: str  # letter of the people and folds on which it was judged; empty where the log book does not say
    folds_digest: str
    first_model: str
    r2: float | None
    r2_lower: float | None
    r2_upper: float | None
    p_value: float | None
    mae: float | None
    best_baseline: str
    best_baseline_r2: float | None
    gain: float | None  # squared error of the best baseline minus that of the first model
    gain_lower: float | None
    gain_upper: float | None
    version: str  # "name/number" with its aliases; empty: nothing was registered
    gate: str  # passed, refused, not asked, not registered


@dataclass(frozen=True, slots=True)
class Comparison:
    """Experiments side by side, the newest first."""

    experiments: tuple[ComparedExperiment, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether all were judged on the same people and folds."""
        letters = {one.folds for one in self.experiments}
        return len(letters) == 1 and "" not in letters

    @property
    def verdict(self) -> str:
        """Whether the numbers can be held against each other."""
        if len(self.experiments) == 1:
            return ALONE
        return SAME_FOLDS if self.is_comparable else NOT_COMPARABLE

    def document(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "research_use_only": True,
            "comparable": self.is_comparable,
            "verdict": self.verdict,
            "experiments": [asdict(one) for one in self.experiments],
        }

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Heads and rows of the table for people."""
        heads = ("experiment", "started", "outcome", "n", "folds", "model", "R2", "p", "MAE", "best baseline",
                 "gain", "gate", "version")  # fmt: skip
        return heads, [_row(one) for one in self.experiments]

    def lines(self) -> Iterator[str]:
        """Return the table as lines for the screen."""
        heads, rows = self.table()
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield self.verdict
        yield "Gain: squared error of the best baseline minus the model's, above 0 is better. Research use only."


def compare_experiments(store: RunSource, *, names: Sequence[str] = (), all_runs: bool = False) -> Comparison:
    """Read experiments from the log book: two queries, however many runs there are.

    Parameters
    ----------
    store
        The log book.
    names
        Experiments in the order in which they are shown; none: all, the newest first.
    all_runs
        Every finished run of an experiment, not only the latest.

    Raises
    ------
    ModelUnavailableError
        If the store knows no such experiment, or none has a finished run.
    """
    runs = store.find_runs(experiments=names, kind=KIND)
    if not all_runs:
        latest: dict[str, LoggedRun] = {}
        for run in runs:  # newest first
            latest.setdefault(run.experiment, run)
        runs = tuple(latest.values())
    without = sorted(set(names) - {run.experiment for run in runs})
    if without or not runs:
        raise ModelUnavailableError(
            f"the store has no finished run of {', '.join(without) or 'any experiment'}.",
            where="experiment",
            remedy="Run `krp train` with its file first; `krp doctor` tells of runs that were killed.",
        )
    if names:
        runs = tuple(sorted(runs, key=lambda run: names.index(run.experiment)))
    letters = _letters(runs)
    versions = store.find_versions()
    return Comparison(tuple(_compared(run, letters, versions.get(run.run_id)) for run in runs))


def _letters(runs: Sequence[LoggedRun]) -> dict[str, str]:
    """Return a letter for every digest of people and folds, in the order of appearance."""
    digests = dict.fromkeys(run.tags.get("splits_digest", "") for run in runs)
    named = [digest for digest in digests if digest]
    letters = {digest: _letter(number) for number, digest in enumerate(named)}
    return letters | {"": ""}


def _letter(number: int) -> str:
    """Return A, B, ... Z, A1, B1, ..."""
    round_, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(round_) if round_ else "")


def _compared(run: LoggedRun, letters: Mapping[str, str], version: Mapping[str, str] | None) -> ComparedExperiment:
    tags, metrics, digest = run.tags, run.metrics, run.tags.get("splits_digest", "")
    people = run.params.get("n_participants", "")
    return ComparedExperiment(
        name=run.experiment,
        run_id=run.run_id,
        started=datetime.fromtimestamp(run.started_at_s, UTC).isoformat(timespec="minutes"),
        is_synthetic=tags.get("synthetic") == "yes",
        outcome=run.params.get("outcome", ""),
        n_participants=int(people) if people.isdigit() else None,
        folds=letters[digest],
        folds_digest=digest,
        first_model=_first_model(tags),
        **{name: metrics.get(name) for name in ("r2", "r2_lower", "r2_upper", "mae", "best_baseline_r2")},
        **{name: metrics.get(name) for name in ("gain", "gain_lower", "gain_upper")},
        p_value=metrics.get("permutation_p"),
        best_baseline=tags.get("best_baseline", ""),
        version=version["label"] if version else "",
        gate=version["gate"] or NOT_ASKED if version else UNREGISTERED,
    )


def _first_model(tags: Mapping[str, str]) -> str:
    """Return the primary; of a competition the winner, said to be one, for its R2 is too high on average."""
    primary = tags.get("primary", "")
    if primary.startswith("none"):
        return f"{tags.get('first_model', '')} (winner)".strip()
    return tags.get("first_model") or primary


def _row(one: ComparedExperiment) -> tuple[str, ...]:
    baseline = f"{one.best_baseline} {short(one.best_baseline_r2)}" if one.best_baseline_r2 is not None else ABSENT
    gain = ABSENT
    if one.gain is not None:
        gain = f"{one.gain:.3g}"
        if one.gain_lower is not None and one.gain_upper is not None:
            gain += f" [{one.gain_lower:.3g}, {one.gain_upper:.3g}]"
    return (
        one.name + (" (synthetic)" if one.is_synthetic else ""),
        one.started.removesuffix("+00:00").replace("T", " "),
        one.outcome or ABSENT,
        ABSENT if one.n_participants is None else str(one.n_participants),
        one.folds or ABSENT,
        one.first_model.replace("_", " ") or ABSENT,
        with_interval(one.r2, one.r2_lower, one.r2_upper),
        p_in_words(one.p_value),
        ABSENT if one.mae is None else f"{one.mae:.3g}",
        baseline,
        gain,
        one.gate,
        one.version or ABSENT,
    )
