"""Head motion, censoring and signals of one run, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from predictor.report.themed_figure import DOWN, FLAG, INK, LINE, MUTED, SMALL, UP, drawing, inline_svg, show_pixels
from predictor.report.wording import region_in_words
from predictor.scan.confounds import Confounds
from predictor.scan.session import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More columns and rows than this cannot be told apart on a page; neighbours are averaged.
MAX_COLUMNS: Final = 600
MAX_ROWS: Final = 320
# With more regions than this their names would overlap.
MAX_NAMED_REGIONS: Final = 24
# Standard deviations shown as black and white, as carpets usually have it (Power 2017).
CARPET_LIMITS: Final = (-2.0, 2.0)
_LEFT, _RIGHT = 1.55, 0.15  # inches


def run_svg(run: Run, confounds: Confounds, *, limit_mm: float | None) -> str:
    """Draw head motion with the censored volumes, the carpet and the regions' signals below one another.

    Parameters
    ----------
    run
        The run, as recorded.
    confounds
        Its motion and censored volumes, as the recipe selects them.
    limit_mm
        Framewise displacement above which volumes are censored; None: there is no such limit.

    Returns
    -------
    str
        `<svg>` for a page. The carpet is left out where there are no voxels (tables of region signals).

    References
    ----------
    Power 2017, doi 10.1016/j.neuroimage.2016.08.009: motion and carpet read together.
    """
    carpet = standardised(run.recording.carpet.astype(np.float64))
    carpet = carpet[:, np.isfinite(carpet).any(axis=0)]
    regions = standardised(run.recording.bold)
    heights = [1.25, 1.7 if carpet.shape[1] else 0.0, min(0.15 * regions.shape[1], 2.4)]
    step = run.repetition_time_s / 60 if run.repetition_time_s else 1.0
    total = sum(heights) + 0.25 * 2 + 0.58
    with drawing(total) as figure:
        tops = np.cumsum([0.2, heights[0] + 0.22, heights[1] + (0.18 if heights[1] else 0)])
        panels = [_panel(figure, top, height, total) for top, height in zip(tops, heights, strict=True) if height]
        _draw_motion(panels[0], confounds, step, limit_mm)
        if carpet.shape[1]:
            _draw_rows(panels[1], carpet, step, label="voxels, bottom\nto top of brain")
        _draw_rows(panels[-1], regions, step, label="", names=run.recording.region_names)
        for panel in panels:
            panel.set_xlim(0, run.n_volumes * step)
        for panel in panels[:-1]:
            panel.tick_params(labelbottom=False)
        panels[-1].set_xlabel("minutes" if run.repetition_time_s else "volumes (repetition time unknown)")
        return inline_svg(
            figure, name=f"run-{run.name}", title=f"Motion and signals of {run.name}", description=_in_words(confounds)
        )


def standardised(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return signals without linear trend, each with standard deviation 1.

    Parameters
    ----------
    signals
        Shape (n_volumes, n_signals).

    Returns
    -------
    ndarray of shape (n_volumes, n_signals)
        A signal with a gap, or without any change, is NaN throughout, so that its row shows as empty.
    """
    time = np.linspace(-1.0, 1.0, len(signals))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centred = signals - signals.mean(axis=0)
        residual = centred - np.outer(time, time @ centred / (time @ time))
        spread = residual.std(axis=0)
        scaled = residual / np.where(spread > 1e-9 * np.abs(signals).max(axis=0), spread, np.nan)
    scaled[:, ~np.isfinite(scaled).all(axis=0)] = np.nan
    return np.asarray(scaled)


def _panel(figure: Figure, top: float, height: float, total: float) -> Axes:
    """Add axes by inches from the top, with the margins that all panels share."""
    width = float(figure.get_size_inches()[0])
    place = (_LEFT / width, 1 - (top + height) / total, (width - _LEFT - _RIGHT) / width, height / total)
    return figure.add_axes(place)


def _draw_motion(axes: Axes, confounds: Confounds, step: float, limit_mm: float | None) -> None:
    moved = confounds.framewise_displacement_mm
    middle = (np.arange(len(moved)) + 0.5) * step
    axes.set_ylabel("framewise\ndisplacement (mm)")
    known = moved[np.isfinite(moved)]
    top = max(1.15 * float(known.max(initial=0.0)), 1.3 * (limit_mm or 0.2))
    for volume in np.flatnonzero(confounds.is_censored):
        axes.axvspan(volume * step, (volume + 1) * step, color=DOWN, alpha=0.28, linewidth=0)
    axes.plot(middle, moved, color=UP, linewidth=0.9)
    if limit_mm is not None:
        axes.axhline(limit_mm, color=DOWN, linewidth=0.9, linestyle=(0, (4, 3)))
        # Above the drawing, where no spike crosses it.
        axes.set_title(f"limit {limit_mm:g} mm", color=FLAG, size=SMALL, loc="right", pad=2)
    if not known.size:
        axes.text(0.5, 0.5, "head motion is not known", transform=axes.transAxes, color=MUTED, ha="center", va="center")
    axes.set_ylim(0, top)


def _draw_rows(
    axes: Axes, signals: NDArray[np.float64], step: float, *, label: str, names: tuple[str, ...] = ()
) -> None:
    n_volumes, n_signals = signals.shape
    # The last voxel lies highest in the brain, the first region stands on top.
    rows = signals.T if names else signals.T[::-1]
    show_pixels(
        axes,
        shortened(shortened(rows, MAX_COLUMNS).T, MAX_ROWS).T,
        extent=(0, n_volumes * step, n_signals, 0),
        limits=CARPET_LIMITS,
    )
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    if label:
        axes.set_ylabel(label)
    if names and n_signals <= MAX_NAMED_REGIONS:
        axes.set_yticks(np.arange(n_signals) + 0.5, [region_in_words(name) for name in names])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=SMALL - 0.5)
        axes.hlines(range(1, n_signals), 0, n_volumes * step, color=LINE, linewidth=0.4)
    elif names:
        axes.set_ylabel(f"{n_signals} regions")


def shortened(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return rows with at most so many columns, neighbours averaged; the last column stands for what is left.

    Examples
    --------
    >>> shortened(np.arange(5.0)[np.newaxis], 3)
    array([[0.5, 2.5, 4. ]])
    """
    n_columns = rows.shape[1]
    width = max(1, -(-n_columns // most))
    padded = np.pad(rows, ((0, 0), (0, -n_columns % width)), mode="edge")
    return np.asarray(padded.reshape(len(rows), -1, width).mean(axis=2))


def _in_words(confounds: Confounds) -> str:
    moved = confounds.framewise_displacement_mm
    n_censored = int(confounds.is_censored.sum())
    censored = f"{n_censored} of {len(confounds.is_censored)} volumes are censored."
    if not np.isfinite(moved).any():
        return f"Head motion is not known; {censored}"
    return (
        f"Framewise displacement {np.nanmean(moved):.2f} mm on average, {np.nanmax(moved):.2f} mm at most; {censored}"
    )
