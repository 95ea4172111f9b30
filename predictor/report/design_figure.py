"""What stands in a task model: the expected responses, and every regressor beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from predictor.features.run_preparation import SPIKE_PREFIX, TaskRun
from predictor.features.task_activation import CONSTANT_COLUMN
from predictor.features.task_families import TaskModel
from predictor.report.palette import SERIES
from predictor.report.run_figure import MAX_COLUMNS, shortened
from predictor.report.themed_figure import INK, MUTED, PAPER, SMALL, WIDTH_INCHES, drawing, inline_svg, show_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFOUNDS, SPIKES, DRIFT = "confounds", "censored volumes", "slow drift"
NUISANCE: Final = frozenset({CONFOUNDS, SPIKES, DRIFT})
_LEFT, _RIGHT = 1.85, 0.15  # inches
LETTER_INCHES: Final = 0.13  # height of a line of the smallest letters


def design_svg(task: TaskRun, model: TaskModel, *, name: str, title: str) -> str:
    """Draw the regressors of one activation model over time.

    Above, the expected response to each condition; below, all regressors as rows, each scaled to its largest value:
    conditions, confounds, one spike per censored volume, drift.

    Parameters
    ----------
    task
        The prepared run.
    model
        Its design, without drift.
    name, title
        Tells the drawing from others on the page; what it shows.
    """
    rows, labels = _rows(task, model)
    n_responses = sum(label not in NUISANCE for label in labels)
    heights = (1.15, 0.17 * n_responses, max(0.045 * (len(rows) - n_responses), 0.17 * len(set(labels) & NUISANCE)))
    total = 0.42 + sum(heights) + 0.2 + 0.06 + 0.5
    minutes = task.grid.n_volumes * task.grid.repetition_time_s / 60
    with drawing(total) as figure:
        top, panels = 0.42, []
        for height, gap in zip(heights, (0.2, 0.06, 0.0), strict=True):
            place = figure.add_axes(
                (
                    _LEFT / WIDTH_INCHES,
                    1 - (top + height) / total,
                    1 - (_LEFT + _RIGHT) / WIDTH_INCHES,
                    height / total,
                )
            )
            panels.append(place)
            top += height + gap
        _draw_responses(panels[0], task, model)
        for axes, part in ((panels[1], slice(n_responses)), (panels[2], slice(n_responses, None))):
            shown = shortened(rows[part], MAX_COLUMNS)
            show_pixels(axes, shown, extent=(0, minutes, len(shown), 0), limits=(-1.0, 1.0))
            _name_groups(axes, labels[part])
        for axes in panels:
            axes.set_xlim(0, minutes)
            axes.tick_params(labelbottom=axes is panels[-1], bottom=axes is panels[-1])
        panels[-1].set_xlabel("minutes")
        return inline_svg(figure, name=name, title=title, description=_in_words(model, labels))


def _rows(task: TaskRun, model: TaskModel) -> tuple[NDArray[np.float64], list[str]]:
    """Return regressors as rows, each between -1 and 1, and the group that each belongs to."""
    labels = [_group(column, model) for column in model.design.names] + [DRIFT] * task.drift.shape[1]
    columns = np.column_stack([model.design.columns, task.drift])
    order = [position for position, label in enumerate(labels) if label != CONSTANT_COLUMN]
    largest = np.abs(columns).max(axis=0)
    scaled = columns / np.where(largest > 0, largest, 1.0)
    return scaled[:, order].T, [labels[position] for position in order]


def _group(column: str, model: TaskModel) -> str:
    if column == CONSTANT_COLUMN:
        return CONSTANT_COLUMN
    if column.startswith(SPIKE_PREFIX):
        return SPIKES
    in_task = model.design.names.index(column) < model.design.names.index(CONSTANT_COLUMN)
    return condition_in_words(column) if in_task else CONFOUNDS


def condition_in_words(name: str) -> str:
    """Return a condition's name for people.

    Examples
    --------
    >>> condition_in_words("cI")
    'incongruent after congruent'
    >>> condition_in_words("post_error")
    'post error'
    """
    spelled = {"i": "incongruent", "c": "congruent"}
    if len(name) == 2 and name[0] in spelled and name[1].lower() in spelled and name[1].isupper():
        return f"{spelled[name[1].lower()]} after {spelled[name[0]]}"
    return name.replace("_", " ")


def _draw_responses(axes: Axes, task: TaskRun, model: TaskModel) -> None:
    time = (np.arange(task.grid.n_volumes) + 0.5) * task.grid.repetition_time_s / 60
    for number, condition in enumerate(model.condition_names):
        colour = SERIES[number % len(SERIES)]
        response = model.design.columns[:, model.design.names.index(condition)]
        style = "-" if condition in model.contrast else ":"
        axes.plot(time, response, style, color=colour, linewidth=1.1, label=condition_in_words(condition))
    axes.set_ylabel("expected\nresponse")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, frameon=False, fontsize=SMALL, labelcolor=INK,
        handlelength=1.4, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def _name_groups(axes: Axes, labels: Sequence[str]) -> None:
    """Name runs of rows that belong together, with a line between them."""
    axes.spines[["left", "bottom"]].set_visible(False)
    ticks, names, start = [], [], 0
    for label, members in groupby(labels):
        n_rows = len(list(members))
        ticks.append(start + n_rows / 2)
        names.append(label if n_rows == 1 else f"{label} ({n_rows})")
        start += n_rows
        axes.axhline(start, color=PAPER, linewidth=1.0)
    axes.set_yticks(_apart(ticks, least=LETTER_INCHES * start / _height_inches(axes)), names)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=SMALL - 0.5)
    axes.tick_params(axis="x", labelcolor=MUTED)


def _apart(ticks: Sequence[float], *, least: float) -> list[float]:
    """Return places of labels that do not cover each other; the last stays where it is.

    Examples
    --------
    >>> _apart([1.0, 8.0, 9.0], least=2.0)
    [1.0, 7.0, 9.0]
    """
    placed = list(ticks)
    for place in range(len(placed) - 2, -1, -1):
        placed[place] = min(placed[place], placed[place + 1] - least)
    return placed


def _height_inches(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().height * figure.get_figheight())


def _in_words(model: TaskModel, labels: Sequence[str]) -> str:
    named = ", ".join(condition_in_words(name) for name in model.condition_names)
    return f"Conditions: {named}. {len(labels)} regressors besides the constant."
