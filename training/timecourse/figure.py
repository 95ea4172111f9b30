"""The change of connectivity over time: one small drawing per pair, both arms, with what the test found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.report.svg import COLOUR_OF_CLASS
from predictor.report.wording import region_in_words
from training.timecourse.analysis import TimecourseResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

INK, MUTED, GRID = (COLOUR_OF_CLASS[f"figure-{name}"] for name in ("ink", "muted", "grid"))
# The arms differ in colour, mark and line, so that the drawing can be read in grey.
ARM_STYLES: tuple[dict[str, Any], dict[str, Any]] = (
    {"color": COLOUR_OF_CLASS["figure-down"], "marker": "o", "linestyle": "-"},
    {"color": COLOUR_OF_CLASS["figure-up"], "marker": "s", "linestyle": "--"},
)
DODGE = 0.07  # of the distance between windows, so that intervals do not cover each other
LEVEL = 0.05
CONFIDENCE = 0.95
PANEL_INCHES, HEAD_INCHES, FOOT_INCHES = (3.2, 2.5), 0.85, 0.75
PIXELS_PER_INCH = 150
# Names of windows stand level while all letters of one panel fit side by side; longer ones are tilted.
LETTER_INCHES, TILT_DEGREES, SHOWN_LETTERS = 0.075, 30.0, 24
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "timecourse",
    "text.parse_math": False,  # a region may be called "a$b$c"
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def timecourse_figure(result: TimecourseResult, *, is_synthetic: bool) -> dict[str, bytes]:
    """Draw the mean change from baseline with its 95 % interval, per arm, window and pair.

    Returns
    -------
    dict
        The same drawing by file extension: "svg" and "png".
    """
    with _drawing(result) as (figure, panels):
        means, lower, upper = mean_changes(result)
        for edge, axes in enumerate(panels):
            _draw_panel(axes, result, edge, means, lower, upper)
        top, bottom = np.nanmax(upper), np.nanmin(lower)
        room = max(top - bottom, 1e-3)
        panels[0].set_ylim(bottom - 0.06 * room, top + 0.16 * room)  # the p values stand above
        _draw_words(figure, panels[0], result, is_synthetic=is_synthetic)
        spoken = _spoken(result, is_synthetic=is_synthetic)
        return {"svg": _with_words(_encoded(figure, "svg"), spoken), "png": _encoded(figure, "png")}


def mean_changes(result: TimecourseResult) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean change from baseline, lower and upper end of its t interval, shape (2 arms, n_windows - 1, n_edges) each."""
    changes, cohort = result.cohort.changes, result.cohort
    statistics = []
    for arm in cohort.arms:
        of_arm = changes[cohort.members(arm)]
        n = np.isfinite(of_arm).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.nansum(of_arm, axis=0) / n
            spread = np.sqrt(np.nansum((of_arm - mean) ** 2, axis=0) / (n - 1))
            reach = stats.t.ppf((1 + CONFIDENCE) / 2, np.where(n > 1, n - 1, np.nan)) * spread / np.sqrt(n)
        statistics.append((mean, mean - reach, mean + reach))
    means, lower, upper = (np.stack(values) for values in zip(*statistics, strict=True))
    return means, lower, upper


@contextmanager
def _drawing(result: TimecourseResult) -> Iterator[tuple[Figure, list[Axes]]]:
    """Hand out a figure with one panel per pair, a row per source."""
    # matplotlib takes half a second to import, and only this needs it.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    n_rows = len({source for source, _ in result.plan.edges})
    n_columns = len(result.plan.edges) // n_rows
    foot = FOOT_INCHES + _tilted_inches(result)
    width, height = PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows + HEAD_INCHES + foot
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(max(width, 7.0), height), facecolor="white")
        panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(
            left=0.85 / max(width, 7.0), right=0.99, hspace=0.28, wspace=0.08,
            top=1 - HEAD_INCHES / height, bottom=foot / height,
        )  # fmt: skip
        yield figure, list(panels.flat)


def _draw_panel(
    axes: Axes, result: TimecourseResult, edge: int, means: FloatArray, lower: FloatArray, upper: FloatArray
) -> None:
    places = np.arange(len(result.plan.windows))
    axes.axhline(0.0, color=GRID, linewidth=0.8, zorder=0)
    for arm, style in enumerate(ARM_STYLES):
        # At baseline the change is zero by definition, and so is its interval.
        mean, low, high = (np.concatenate([[0.0], values[arm, :, edge]]) for values in (means, lower, upper))
        axes.errorbar(
            places + (2 * arm - 1) * DODGE, mean, yerr=[mean - low, high - mean],
            markersize=4, linewidth=1.3, elinewidth=0.9, capsize=2, label=_label(result, arm), **style,
        )  # fmt: skip
    for window, p_value in enumerate(result.arm_test.p_family[:, edge]):
        if p_value < LEVEL:
            top = np.nanmax(upper[:, window, edge])
            axes.annotate(
                f"p = {p_in_words(p_value)}", (window + 1, top), (0, 3), textcoords="offset points",
                ha="center", va="bottom", fontsize=8, fontweight="bold",
            )  # fmt: skip
    source, target = (region_in_words(name) for name in result.plan.edges[edge])
    axes.set_title(f"{source} – {target}", fontsize=9, loc="left")
    axes.set_xticks(places, _shown_names(result), fontsize=8)
    if _tilted_inches(result):
        axes.tick_params(axis="x", labelrotation=TILT_DEGREES)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlim(-0.4, len(places) - 0.6)


def _shown_names(result: TimecourseResult) -> list[str]:
    names = result.plan.window_names
    return [name if len(name) <= SHOWN_LETTERS else f"{name[: SHOWN_LETTERS - 1]}…" for name in names]


def _tilted_inches(result: TimecourseResult) -> float:
    """Return the room that tilted names of windows need below the panels; 0 where level ones fit."""
    longest = max(map(len, _shown_names(result)))
    if longest * LETTER_INCHES * len(result.plan.windows) <= PANEL_INCHES[0]:
        return 0.0
    return longest * LETTER_INCHES * float(np.sin(np.radians(TILT_DEGREES)))


def _draw_words(figure: Figure, first_panel: Axes, result: TimecourseResult, *, is_synthetic: bool) -> None:
    width, height = figure.get_size_inches()
    title = "Change of connectivity from baseline" + (" – synthetic data" if is_synthetic else "")
    figure.text(0.1 / width, 1 - 0.27 / height, title, fontsize=11, fontweight="bold", va="center")
    figure.legend(
        *first_panel.get_legend_handles_labels(), loc="center right", ncols=2, frameon=False, fontsize=9,
        bbox_to_anchor=(0.995, 1 - 0.27 / height),
    )  # fmt: skip
    figure.supylabel("change of Fisher z from baseline", fontsize=9, x=0.12 / width)
    n_windows, n_edges = result.arm_test.p_family.shape
    figure.text(0.5, 0.42 / height, "window (minutes of infusion)", ha="center", va="center", fontsize=9)
    note = (
        f"Mean and 95 % interval over people. p: difference between arms, corrected over {n_edges} pairs x "
        f"{n_windows} windows ({result.arm_test.n_labellings:,} labellings); shown where below {LEVEL:g}. "
        "Research use only."
    )
    figure.text(0.1 / width, 0.15 / height, note, fontsize=7.5, color=MUTED, va="center")


def _spoken(result: TimecourseResult, *, is_synthetic: bool) -> str:
    """Return what a screen reader says: pairs and windows in which the arms differ."""
    p_family, windows = result.arm_test.p_family, result.plan.window_names[1:]
    differing = [
        f"{region_in_words(source)} and {region_in_words(target)} at {windows[window]} (p = {p_in_words(p_value)})"
        for edge, (source, target) in enumerate(result.plan.edges)
        for window, p_value in enumerate(p_family[:, edge])
        if p_value < LEVEL
    ]
    arms = " and ".join(_label(result, arm) for arm in range(2))
    found = "; ".join(differing) or "in no pair and window"
    label = " Synthetic data." if is_synthetic else ""
    return f"Change of connectivity from baseline, {arms}. The arms differ: {found}. Research use only.{label}"


def _with_words(drawn: bytes, spoken: str) -> bytes:
    """Return an SVG that a screen reader can tell."""
    head = f'<svg role="img" aria-label={quoteattr(spoken)} '.encode()
    named = drawn.replace(b"<svg ", head, 1)
    end = named.index(b">", named.index(head) + len(head)) + 1
    return named[:end] + f"<title>{escape(spoken)}</title>".encode() + named[end:]


def _label(result: TimecourseResult, arm: int) -> str:
    name = result.cohort.arms[arm]
    return f"{name} (n = {int(result.cohort.members(name).sum())})"


def p_in_words(p_value: float) -> str:
    """Return a p value with as many digits as it has, never 0.

    Examples
    --------
    >>> p_in_words(0.0321), p_in_words(0.0002)
    ('.032', '.0002')
    """
    if p_value >= 0.9995:
        return "1"
    return f"{p_value:.4f}"[1:] if p_value < 0.001 else f"{p_value:.3f}"[1:]


def _encoded(figure: Figure, kind: str) -> bytes:
    content = BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(content, format=kind, dpi=PIXELS_PER_INCH, metadata=metadata)
    return content.getvalue()
