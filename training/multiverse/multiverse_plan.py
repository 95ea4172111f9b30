"""The universes of an experiment file: one experiment per combination of alternatives, and the tables they need."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.console import table
from predictor.errors import AlternativeMissingError, ConfigError
from training.config import ExperimentConfig, build_experiment, read_entries
from training.extraction.feature_table import TABLE_FILE
from training.models.model_names import REGRESSORS
from training.multiverse.multiverse_config import EXTRACT, Choice, MultiverseConfig


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """One combination of decisions, as a whole experiment."""

    number: int  # 0: the registered one
    choice: Choice  # axis -> alternative
    config: ExperimentConfig
    extract: str = ""  # options of `krp extract` beyond those of the registered table

    @property
    def is_registered(self) -> bool:
        """Whether this is the file as it stands."""
        return self.number == 0

    @property
    def label(self) -> str:
        """The decisions in words."""
        return ", ".join(f"{axis}: {alternative}" for axis, alternative in self.choice.items())


@dataclass(frozen=True, slots=True, eq=False)
class MultiversePlan:
    """An experiment and everything that could have been decided otherwise; the registered universe comes first."""

    config: ExperimentConfig
    alternatives: MultiverseConfig
    universes: tuple[Universe, ...]

    @property
    def registered(self) -> Universe:
        """The file as it stands."""
        return self.universes[0]

    def extraction_commands(self) -> tuple[str, ...]:
        """Return the `krp extract` commands that make the feature tables which are not there, each once."""
        commands: dict[str, str] = {}
        for universe in self.universes:
            table = Path(universe.config.cohort.features)
            if universe.extract and not table.exists():
                options = " ".join(filter(None, (self.alternatives.extract, universe.extract)))
                folders = f"{shlex.quote(self.alternatives.derivatives)} {shlex.quote(str(table.parent))}"
                commands[str(table)] = f"krp extract {folders} group {options}"
        return tuple(commands.values())

    def lines(self) -> Iterator[str]:
        """Yield what `krp multiverse --dry-run` shows: every universe with its table, then what is to be done first."""
        n_axes, name = len(self.registered.choice), self.config.name
        yield f"{len(self.universes)} universes of {name}, {n_axes} decisions; primary {self.config.model.primary}"
        rows = [
            ("registered" if one.is_registered else str(one.number), _table_state(one), one.label)
            for one in self.universes
        ]
        yield from table([("universe", "table", "decisions"), *rows]).splitlines()
        commands = self.extraction_commands()
        if commands:
            yield "first make the tables that are missing:"
            yield from (f"  {command}" for command in commands)

    def check_tables(self) -> None:
        """Refuse to start while a feature table is missing; nothing is extracted unasked, for that may take hours.

        Raises
        ------
        AlternativeMissingError
            Its remedy holds the commands that make them.
        """
        absent = {universe.config.cohort.features: universe for universe in self.universes if _is_absent(universe)}
        if not absent:
            return
        commands = self.extraction_commands()
        raise AlternativeMissingError(
            f"{len(absent)} of the feature tables that the universes need are not there: {', '.join(absent)}.",
            where="[multiverse]",
            remedy="Make them first:\n    " + "\n    ".join(commands) if commands else "",
        )


def read_multiverse(path: Path, *, overrides: Sequence[str] = ()) -> MultiversePlan:
    """Read an experiment file with a section [multiverse].

    Parameters
    ----------
    path, overrides
        See `training.config.read_experiment`; overrides hold in every universe that does not decide otherwise.

    Raises
    ------
    ConfigError
        If there is no such section, it cannot be used, two decisions set the same entry, models compete, or a
        universe is no valid experiment; the universe is named.
    """
    entries, source = read_entries(path, overrides=overrides)
    config = build_experiment(entries, source, where=path.name)
    alternatives = config.multiverse
    if alternatives is None:
        raise ConfigError(
            "the experiment file names no alternatives.",
            where=path.name,
            remedy="Add a section [multiverse] with axes; experiments/multiverse.toml is an example.",
        )
    if config.model.is_competition:
        raise ConfigError("a multiverse is of one primary model; here models compete.", where="[model] primary")
    universes = [
        _universe(number, choice, entries, config, alternatives) for number, choice in enumerate(alternatives.choices())
    ]
    return MultiversePlan(config, alternatives, tuple(universes))


def _universe(
    number: int,
    choice: Choice,
    entries: Mapping[str, Any],
    config: ExperimentConfig,
    alternatives: MultiverseConfig,
) -> Universe:
    """Return one universe; the registered one is the experiment itself, digest and all."""
    changed = alternatives.combined(choice)
    if number == 0:
        return Universe(number, choice, config)
    options = str(changed.pop(EXTRACT, ""))
    if options:
        changed["cohort.features"] = str(Path(alternatives.tables) / alternatives.folder_name(choice) / TABLE_FILE)
    universe = Universe(number, choice, config, options)
    comment = f"# universe: {universe.label}\n"
    try:
        own = build_experiment(_with(entries, changed), config.source + comment, where=universe.label)
    except ConfigError as error:
        raise ConfigError(f"{error} (universe {universe.label})", where=error.where, remedy=error.remedy) from error
    if own.model.primary not in REGRESSORS:
        raise ConfigError(f"{own.model.primary} predicts no outcome.", where=universe.label)
    return Universe(number, choice, own, options)


def _with(entries: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's entries with those of a universe in their place, without the section [multiverse]."""
    own: dict[str, Any] = {name: deepcopy(value) for name, value in entries.items() if name != "multiverse"}
    for entry, value in changed.items():
        section, _, key = entry.partition(".")
        if not key:  # `false` leaves an optional section out
            own.pop(section, None)
        else:
            own.setdefault(section, {})[key] = value
    return own


def _table_state(universe: Universe) -> str:
    return "missing" if _is_absent(universe) else "there"


def _is_absent(universe: Universe) -> bool:
    return not Path(universe.config.cohort.features).exists()
