"""The alternatives of a multiverse: what could as reasonably have been decided otherwise, named in the experiment file.

Every axis is one decision with named alternatives, exactly one of which is empty: it stands for the file as it is, the
registered analysis. Only decisions that leave people, outcome and folds as they are can be alternatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from predictor.errors import ConfigError

MAX_UNIVERSES = 1000
EXTRACT = "extract"  # options of `krp extract` with which the alternative's feature table is made
SEPARATOR = "__"  # between the decisions in the name of a table's folder
NAME = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*")
# Entries that alternatives may set; None: every entry of the section. Anything else would change who is predicted, what
# is predicted, or on which folds, and universes could not be compared.
SETTABLE: dict[str, frozenset[str] | None] = {
    "cohort": frozenset({"features"}),
    "features": None,
    "covariates": frozenset({"clinical", "interactions"}),
    "model": frozenset({"primary", "l1_ratios", "n_alphas", "smallest_alpha_fraction"}),
    "validation": frozenset({"inner_folds"}),
    "reference": None,
    "harmonization": None,
}
OPTIONAL_SECTIONS = ("reference", "harmonization")  # `false` leaves them out

Choice = Mapping[str, str]  # axis -> alternative


@dataclass(frozen=True, slots=True)
class MultiverseConfig:
    """Section [multiverse]: decisions, their alternatives, and where other feature tables stand.

    An alternative is a table of entries that replace those of the file, such as
    `{ features.families = ["rest_partial"] }`, or `{ extract = "--confound-strategy motion6_wm_csf" }` for a table that
    `krp extract` makes with other options; alternatives of several axes that extract otherwise share one table with all
    their options.
    """

    axes: Mapping[str, object]  # axis -> alternative -> entries; `{}` marks the registered alternative
    # Combinations to run, beside the registered one: axes that are not named take their registered alternative. Empty:
    # all combinations.
    universes: tuple[Mapping[str, str], ...] = ()
    derivatives: str = ""  # what `krp extract` reads: fMRIPrep outputs, or region tables
    extract: str = ""  # options of `krp extract` with which the registered feature table was made
    tables: str = ""  # folder with one folder per other feature table

    def __post_init__(self) -> None:
        if not self.axes:
            raise ConfigError("expected at least one axis with alternatives.", where="[multiverse.axes]")
        for axis, alternatives in self.axes.items():
            _check_axis(axis, alternatives)
        for number, universe in enumerate(self.universes, start=1):
            self._check_listed(universe, where=f"[multiverse] universes, entry {number}")
        n_universes = sum(1 for _ in self.choices())
        if n_universes > MAX_UNIVERSES:
            raise ConfigError(
                f"{n_universes} universes are too many; expected at most {MAX_UNIVERSES}.",
                where="[multiverse]",
                remedy="List those that matter under `universes`, or leave an axis out.",
            )
        if self.extracts and not (self.tables and self.derivatives):
            raise ConfigError(
                "alternatives that are extracted otherwise need `tables` (where their feature tables stand) and "
                "`derivatives` (what `krp extract` reads).",
                where="[multiverse]",
            )

    @property
    def registered(self) -> dict[str, str]:
        """The file as it stands, axis by axis."""
        return {axis: next(name for name in self.names(axis) if not self.entries(axis, name)) for axis in self.axes}

    @property
    def extracts(self) -> bool:
        """Whether some alternative has a feature table of its own, made by `krp extract`."""
        return any(EXTRACT in self.entries(axis, name) for axis in self.axes for name in self.names(axis))

    def names(self, axis: str) -> tuple[str, ...]:
        """Return the alternatives of an axis, in the order of the file."""
        return tuple(_table(self.axes[axis]))

    def entries(self, axis: str, alternative: str) -> dict[str, Any]:
        """Return what an alternative sets: entry ("section.key", "section" or "extract") -> value."""
        found: dict[str, Any] = {}
        for section, values in _table(_table(self.axes[axis])[alternative]).items():
            if isinstance(values, Mapping):
                found |= {f"{section}.{key}": value for key, value in values.items()}
            else:
                found[section] = values
        return found

    def choices(self) -> Iterator[Choice]:
        """Yield one alternative per axis for every universe, the registered one first, each once."""
        registered = self.registered
        yield registered
        if self.universes:
            seen = [registered]
            for universe in self.universes:
                choice = {**registered, **universe}
                if choice not in seen:
                    seen.append(choice)
                    yield choice
            return
        for combination in product(*map(self.names, self.axes)):
            choice = dict(zip(self.axes, combination, strict=True))
            if choice != registered:
                yield choice

    def combined(self, choice: Choice) -> dict[str, Any]:
        """Return what a universe sets, all decisions together.

        Raises
        ------
        ConfigError
            If two decisions set the same entry, so that one would silently undo the other.
        """
        found: dict[str, Any] = {}
        set_by: dict[str, str] = {}
        for axis, alternative in choice.items():
            for entry, value in self.entries(axis, alternative).items():
                if entry == EXTRACT:
                    found[EXTRACT] = " ".join(filter(None, (found.get(EXTRACT), value)))
                    continue
                rival = next((other for other in set_by if _overlap(entry, other)), None)
                if rival:
                    raise ConfigError(
                        f"{set_by[rival]} and {axis} both set {entry}, so one would undo the other.",
                        where=f"[multiverse.axes.{axis}] {alternative}",
                        remedy="Make one axis of both decisions, or list the universes that make sense.",
                    )
                found[entry], set_by[entry] = value, axis
        if EXTRACT in found and "cohort.features" in found:
            raise ConfigError(
                f"{set_by['cohort.features']} names a feature table, and another decision extracts one.",
                where=f"[multiverse.axes.{set_by['cohort.features']}]",
                remedy="Use `extract` for both, or name the tables for both in one axis.",
            )
        return found

    def folder_name(self, choice: Choice) -> str:
        """Return the folder of a universe's own feature table: the decisions that extract otherwise."""
        return SEPARATOR.join(
            f"{axis}-{alternative}"
            for axis, alternative in choice.items()
            if EXTRACT in self.entries(axis, alternative)
        )

    def _check_listed(self, universe: Mapping[str, str], *, where: str) -> None:
        for axis, alternative in universe.items():
            if axis not in self.axes:
                raise ConfigError(f"there is no axis {axis!r}; known are {', '.join(self.axes)}.", where=where)
            if alternative not in self.names(axis):
                known = ", ".join(self.names(axis))
                raise ConfigError(f"{axis} has no alternative {alternative!r}; it has {known}.", where=where)


def _check_axis(axis: str, alternatives: object) -> None:
    """Refuse names that cannot be folders, a choice of one, and an axis without exactly one registered alternative."""
    where = f"[multiverse.axes.{axis}]"
    for name in (axis, *_table(alternatives, where=where)):
        if not NAME.fullmatch(name):
            raise ConfigError(f"expected a name of letters, digits, - and _, got {name!r}.", where=where)
    for alternative, entries in _table(alternatives).items():
        _check_entries(_table(entries, where=f"{where} {alternative}"), where=f"{where} {alternative}")
    n_registered = sum(not entries for entries in _table(alternatives).values())
    if len(_table(alternatives)) < 2 or n_registered != 1:
        raise ConfigError(
            f"expected two or more alternatives, exactly one of them empty, got {len(_table(alternatives))} with "
            f"{n_registered} empty.",
            where=where,
            remedy="Write `name = {}` for what the file itself says: it is the registered alternative.",
        )


def _check_entries(entries: Mapping[str, Any], *, where: str) -> None:
    for section, values in entries.items():
        if section == EXTRACT:
            if not isinstance(values, str) or not values.strip():
                raise ConfigError('expected options of `krp extract`, such as "--censor-mm 0.3".', where=where)
            continue
        if section not in SETTABLE:
            raise ConfigError(
                f"[{section}] cannot differ between universes; possible are {EXTRACT}, {', '.join(SETTABLE)}.",
                where=where,
                remedy="All universes predict the same outcome of the same people on the same folds.",
            )
        if values is False and section in OPTIONAL_SECTIONS:
            continue
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected entries of [{section}], got {values!r}.", where=where)
        allowed = SETTABLE[section]
        odd = sorted(set(values) - allowed) if allowed is not None else []
        if odd:
            raise ConfigError(
                f"[{section}] {', '.join(odd)} cannot differ between universes; possible are "
                f"{', '.join(sorted(allowed or ()))}.",
                where=where,
                remedy="All universes predict the same outcome of the same people on the same folds.",
            )


def _overlap(entry: str, other: str) -> bool:
    """Whether two entries are the same, or one of them leaves the other's whole section out."""
    return entry == other or entry.startswith(f"{other}.") or other.startswith(f"{entry}.")


def _table(value: object, *, where: str = "[multiverse.axes]") -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected a table of alternatives, got {value!r}.", where=where)
    return value
