"""What a report says about a multiverse: sentences, the figure, and a table. Only the document is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predictor.report.wording import in_percent
from training.report.short_numbers import p_in_words, short, with_interval
from training.report.specification_curve import specification_curve
from training.report.training_references import TRAINING_REFERENCES

HEADING = "What if it had been done otherwise"
# Of the idea, and of the figure.
SOURCES = (TRAINING_REFERENCES["steegen2016"], TRAINING_REFERENCES["simonsohn2020"])


@dataclass(frozen=True, slots=True)
class MultiverseSection:
    """Everything that a page shows of a multiverse."""

    heading: str
    sentences: tuple[str, ...]
    figure: str  # SVG
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # one per alternative
    note: str
    references: tuple[str, ...]


def multiverse_section(document: Mapping[str, Any]) -> MultiverseSection:
    """Return a multiverse as a section of a report.

    Parameters
    ----------
    document
        What `training.multiverse.multiverse_record.multiverse_document` returns.
    """
    columns = ("decision", "alternative", "universes", "median R2", "beat the strongest baseline")
    rows = [
        (
            one["axis"],
            one["alternative"] + _registered_mark(document, one),
            str(one["n"]),
            short(one["r2_median"]),
            in_percent(one["share_better"]),
        )
        for one in document["by_alternative"]
    ]
    return MultiverseSection(
        heading=HEADING,
        sentences=tuple(multiverse_sentences(document)),
        figure=specification_curve(document),
        columns=columns,
        rows=tuple(rows),
        note=document["caution"],
        references=tuple(f"{one.full} doi:{one.doi}" for one in SOURCES),
    )


def multiverse_sentences(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what was varied, how often the model beat the strongest baseline, and where the registered one stands."""
    found, people = document["summary"], document["n_participants"]
    axes = ", ".join(f"{axis} ({len(known['alternatives'])})" for axis, known in document["axes"].items())
    how = "all combinations of" if document["is_full_cross"] else "combinations chosen in the experiment file of"
    yield (
        f"{found['n_universes']} universes, {how} {axes}, on the same {people} people and the same folds"
        + (f" ({document['n_left_out']} others lack the features of some universe)." if document["n_left_out"] else ".")
    )
    yield (
        f"{found['n_better']} of {found['n_universes']} ({in_percent(found['share_better'])}) beat their strongest "
        f"baseline; in {found['n_surely_better']} ({in_percent(found['share_surely_better'])}) the interval of the "
        "gain lies above 0."
    )
    yield (
        f"R2 ranges from {short(found['r2_lowest'])} to {short(found['r2_highest'])} (median "
        f"{short(found['r2_median'])}); the registered universe has {short(found['registered_r2'])}, rank "
        f"{found['registered_rank']} of {found['n_universes']}."
    )
    chance = document["chance_of_the_best"]
    if chance:
        yield (
            f"The best universe's R2 against the best of all universes in {chance['n_permutations']} permutations: p = "
            f"{p_in_words(chance['p_value'])}; 95 % of permutations stay below {short(chance['null_r2_95'])}."
        )


def multiverse_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Return the multiverse as lines for the screen, universes by descending R2."""
    label = "synthetic data, " if document["is_synthetic"] else ""
    yield f"{document['name']}: multiverse ({label}research use only)"
    universes = sorted(document["universes"], key=lambda one: (-one["r2"], one["number"]))
    axes = list(document["axes"])
    widths = [max(len(axis), *(len(name) for name in document["axes"][axis]["alternatives"])) for axis in axes]
    heads = "  ".join(axis.ljust(width) for axis, width in zip(axes, widths, strict=True))
    yield f"    {heads}  {'R2':<17} {'strongest baseline':<20} gain in squared error"
    for one in universes:
        yield _line(one, axes, widths)
    for sentence in multiverse_sentences(document):
        yield f"  {sentence}"
    yield f"  {document['caution']}"


def _line(one: Mapping[str, Any], axes: Sequence[str], widths: Sequence[int]) -> str:
    choice = "  ".join(one["choice"][axis].ljust(width) for axis, width in zip(axes, widths, strict=True))
    r2 = with_interval(one["r2"], one["r2_lower"], one["r2_upper"])
    baseline = f"{one['baseline']} {short(one['baseline_r2'])}"
    gain = f"{one['gain']:.3g} [{one['gain_lower']:.3g}, {one['gain_upper']:.3g}]"
    verdict = "surely better" if one["is_surely_better"] else "better" if one["is_better"] else "not better"
    return f"  {'*' if one['registered'] else ' '} {choice}  {r2:<17} {baseline:<20} {gain:<24} {verdict}"


def _registered_mark(document: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    return " (registered)" if document["axes"][one["axis"]]["registered"] == one["alternative"] else ""
