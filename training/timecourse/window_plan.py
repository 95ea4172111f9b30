"""Which windows of which run, which pairs of regions, and what is compared with what: one TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

from predictor.errors import ConfigError
from predictor.features.dynamic_connectivity import TimeWindow

DEFAULT_PLAN = "default"
DEFAULT_MINIMUM_MINUTES = 3.0
SECONDS_PER_MINUTE = 60.0
# A run is no longer than a day; a larger number is in another unit.
LONGEST_MIN = 1440.0
MAX_RUNS = 99


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A named stretch of a resting run."""

    name: str
    run: int  # number of the resting run, from 1
    start_min: float  # from the start of the infusion in its run; from the first volume in any other
    end_min: float


@dataclass(frozen=True, slots=True)
class SlidingPlan:
    """Windows that move over the infusion's run; they overlap, so they are described and never tested."""

    length_min: float
    step_min: float

    def __post_init__(self) -> None:
        _require(0 < self.step_min <= self.length_min, "expected 0 < step_min <= length_min.", "[sliding]")


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """What `krp timecourse` compares, fixed before anyone is looked at."""

    name: str
    windows: tuple[PlannedWindow, ...]  # baseline first, then as the file has them
    edges: tuple[tuple[str, str], ...]  # pairs of region names
    dissociation_windows: tuple[str, ...]  # the change that is related to dissociation is the mean over these
    infusion_run: int = 1
    infusion_start_min: float = 0.0  # after the first volume of that run
    minimum_minutes: float = DEFAULT_MINIMUM_MINUTES  # kept volumes of a window, in minutes
    sliding: SlidingPlan | None = None

    def __post_init__(self) -> None:
        names = self.window_names
        _require(len(names) >= 2, "a baseline and at least one other window are needed.", "[[windows]]")
        _require(len(set(names)) == len(names), "expected every window to have a name of its own.", "[[windows]]")
        _require(bool(self.edges), "at least one pair of regions is needed.", "[edges]")
        _require(len({frozenset(e) for e in self.edges}) == len(self.edges), "a pair of regions twice.", "[edges]")
        unknown = [name for name in self.dissociation_windows if name not in names[1:]]
        _require(not unknown, f"no window after baseline is called {', '.join(unknown)}.", "dissociation_windows")
        _require(bool(self.dissociation_windows), "at least one window is needed.", "dissociation_windows")
        for one, other in combinations(self.windows, 2):
            overlap = one.run == other.run and one.start_min < other.end_min and other.start_min < one.end_min
            _require(not overlap, f"windows {one.name} and {other.name} share volumes.", "[[windows]]")

    @property
    def window_names(self) -> tuple[str, ...]:
        """Names of the windows, baseline first."""
        return tuple(window.name for window in self.windows)

    @property
    def baseline(self) -> str:
        """Name of the baseline window."""
        return self.windows[0].name

    @property
    def edge_names(self) -> tuple[str, ...]:
        """Pairs as `amygdala_L__vmPFC`."""
        return tuple(f"{source}__{target}" for source, target in self.edges)

    @property
    def region_names(self) -> tuple[str, ...]:
        """Regions that the pairs name, each once."""
        return tuple(dict.fromkeys(name for edge in self.edges for name in edge))

    def time_window(self, window: PlannedWindow) -> TimeWindow:
        """Return the window on the clock of its run, in seconds from the first volume."""
        offset_min = self.infusion_start_min if window.run == self.infusion_run else 0.0
        start_s, end_s = ((offset_min + time) * SECONDS_PER_MINUTE for time in (window.start_min, window.end_min))
        return TimeWindow(window.name, start_s, end_s)

    def document(self) -> dict[str, Any]:
        """Return plain JSON-able values."""
        return {
            "name": self.name,
            "baseline": self.baseline,
            "minimum_minutes": self.minimum_minutes,
            "dissociation_windows": list(self.dissociation_windows),
            "infusion": {"run": self.infusion_run, "start_min": self.infusion_start_min},
            "windows": [
                {"name": w.name, "run": w.run, "start_min": w.start_min, "end_min": w.end_min} for w in self.windows
            ],
            "edges": [list(edge) for edge in self.edges],
            "sliding": self.sliding and {"length_min": self.sliding.length_min, "step_min": self.sliding.step_min},
        }


def load_window_plan(path: Path | str = DEFAULT_PLAN) -> WindowPlan:
    """Return the plan of a TOML file, or study B's for "default".

    Raises
    ------
    ConfigError
        If the file cannot be read, or an entry is absent, unknown or impossible; the entry is named.
    """
    if str(path) == DEFAULT_PLAN:
        return _parsed(resources.files("training.timecourse").joinpath("infusion_windows.toml").read_text("utf-8"))
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the file with the windows cannot be read.", where=path.name, remedy='Name a TOML file, or "default".'
        ) from error
    try:
        return _parsed(text)
    except ConfigError as error:
        raise error.located(path.name) from error


def _parsed(text: str) -> WindowPlan:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file with the windows is not TOML: {error}.") from error
    optional = {"name", "minimum_minutes", "dissociation_windows", "infusion", "sliding"}
    _check_entries(document, {"baseline", "windows", "edges"}, optional, "top level")
    infusion = document.get("infusion", {})
    _check_entries(infusion, set(), {"run", "start_min"}, "[infusion]")
    run = _run(infusion.get("run", 1), "[infusion] run")
    start_min = _minutes(infusion.get("start_min", 0.0), "[infusion] start_min")
    windows = _windows(document["windows"], infusion_run=run, infusion_start_min=start_min)
    baseline = [window for window in windows if window.name == document["baseline"]]
    _require(len(baseline) == 1, "expected the name of one of the windows.", "baseline")
    others = tuple(window for window in windows if window is not baseline[0])
    named = document.get("dissociation_windows", [window.name for window in others])
    minimum = _minutes(document.get("minimum_minutes", DEFAULT_MINIMUM_MINUTES), "minimum_minutes")
    _require(minimum > 0, "expected minutes above 0.", "minimum_minutes")
    return WindowPlan(
        name=_text(document.get("name", "timecourse"), "name"),
        windows=(*baseline, *others),
        edges=_edges(document["edges"]),
        dissociation_windows=tuple(_texts(named, "dissociation_windows")),
        infusion_run=run,
        infusion_start_min=start_min,
        minimum_minutes=minimum,
        sliding=_sliding(document["sliding"]) if "sliding" in document else None,
    )


def _windows(entries: object, *, infusion_run: int, infusion_start_min: float) -> tuple[PlannedWindow, ...]:
    if not isinstance(entries, list):
        raise ConfigError("expected [[windows]] tables.", where="[[windows]]")
    windows = []
    for entry in entries:
        _check_entries(entry, {"name", "start_min", "end_min"}, {"run"}, "[[windows]]")
        window = PlannedWindow(
            name=_text(entry["name"], "[[windows]] name"),
            run=_run(entry.get("run", infusion_run), "[[windows]] run"),
            start_min=_minutes(entry["start_min"], "[[windows]] start_min"),
            end_min=_minutes(entry["end_min"], "[[windows]] end_min"),
        )
        earliest_min = -infusion_start_min if window.run == infusion_run else 0.0
        is_possible = earliest_min <= window.start_min < window.end_min
        expected = f"a start of at least {earliest_min:g} (the first volume) and a later end"
        _require(is_possible, f"window {window.name}: expected {expected}.", "[[windows]]")
        windows.append(window)
    return tuple(windows)


def _sliding(entry: object) -> SlidingPlan:
    names = ("length_min", "step_min")
    _check_entries(entry, set(names), set(), "[sliding]")
    assert isinstance(entry, Mapping)
    return SlidingPlan(*(_minutes(entry[name], f"[sliding] {name}") for name in names))


def _edges(entry: object) -> tuple[tuple[str, str], ...]:
    _check_entries(entry, {"sources", "targets"}, set(), "[edges]")
    assert isinstance(entry, Mapping)
    sources, targets = (_texts(entry[end], f"[edges] {end}") for end in ("sources", "targets"))
    shared = sorted(set(sources) & set(targets))
    _require(not shared, f"{', '.join(shared)} cannot be source and target.", "[edges]")
    return tuple((source, target) for source in sources for target in targets)


def _check_entries(entry: object, required: set[str], optional: set[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError("expected a table of named values.", where=where)
    wrong = [f"lacks {name}" for name in sorted(required - entry.keys())]
    wrong += [f"has the unknown entry {name}" for name in sorted(entry.keys() - required - optional)]
    _require(not wrong, f"the file {', '.join(wrong)}.", where)


def _text(value: object, where: str) -> str:
    # Names stand in tables: a tab or a line end would break them.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError("expected printable text.", where=where)
    return value


def _texts(value: object, where: str) -> Sequence[str]:
    if not isinstance(value, list):
        raise ConfigError("expected a list of names.", where=where)
    return [_text(item, where) for item in value]


def _run(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_RUNS:
        raise ConfigError("expected the number of a resting run, from 1.", where=where)
    return value


def _minutes(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError("expected a number of minutes.", where=where)
    _require(abs(value) <= LONGEST_MIN, f"expected minutes, at most {LONGEST_MIN:g}.", where)
    return float(value)


def _require(is_met: bool, message: str, where: str) -> None:
    if not is_met:
        raise ConfigError(message, where=where)
