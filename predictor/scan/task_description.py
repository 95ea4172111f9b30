"""Which runs and events a study's own names stand for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args

from predictor.errors import ConfigError

RunKind = Literal["rest", "faces", "conflict"]
RUN_KINDS: Final[tuple[RunKind, ...]] = get_args(RunKind)

# The conditions that features are defined on; a task description says which events they are.
CONDITIONS: Final[dict[RunKind, tuple[str, ...]]] = {
    "rest": (),
    "faces": ("faces", "control"),
    "conflict": ("congruent", "incongruent"),
}
_KEYS: Final = ("tasks", "column", "conditions", "accuracy_columns", "correct_values", "incorrect_values")
_MAX_FILE_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class RunDescription:
    """How one kind of run is called and what its events mean.

    All names but `column` and `accuracy_columns` are canonical (see `canonical_name`).
    """

    kind: RunKind
    tasks: tuple[str, ...]  # BIDS task labels, most preferred first
    column: str = "trial_type"  # the events column that names the condition
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (condition, event names), in the order of CONDITIONS
    accuracy_columns: tuple[str, ...] = ()  # the first that the table has is used
    correct_values: tuple[str, ...] = ()
    incorrect_values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = tuple(name for name, _ in self.conditions)
        if found != CONDITIONS[self.kind]:
            expected = ", ".join(CONDITIONS[self.kind]) or "none"
            raise ConfigError(
                f"the {self.kind} run needs the conditions {expected}; found {', '.join(found) or 'none'}."
            )
        _check_unique(f"{self.kind}.conditions", [name for _, names in self.conditions for name in names])
        _check_unique(f"{self.kind} accuracy values", [*self.correct_values, *self.incorrect_values])

    def condition_of(self, event_name: str) -> str | None:
        """Return the condition an event name stands for, None if it is not one that features need."""
        canonical = canonical_name(event_name)
        return next((condition for condition, names in self.conditions if canonical in names), None)

    def is_correct(self, cell: str) -> bool | None:
        """Return whether an accuracy cell says correct or incorrect; None when it says neither."""
        canonical = canonical_name(cell)
        if canonical in self.correct_values:
            return True
        return False if canonical in self.incorrect_values else None


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """What each kind of run is called; one entry per kind, in the order of RUN_KINDS."""

    runs: tuple[RunDescription, ...]

    def __post_init__(self) -> None:
        found = tuple(run.kind for run in self.runs)
        if found != RUN_KINDS:
            raise ConfigError(
                f"a task description needs the sections {', '.join(RUN_KINDS)}; found {', '.join(found)}."
            )
        _check_unique("tasks", [task for run in self.runs for task in run.tasks])

    def run(self, kind: RunKind) -> RunDescription:
        """Return the description of one kind of run."""
        return self.runs[RUN_KINDS.index(kind)]

    def kind_of_task(self, task: str) -> RunKind | None:
        """Return the kind of run that a BIDS task label stands for, None if no kind claims it."""
        canonical = canonical_name(task)
        return next((run.kind for run in self.runs if canonical in run.tasks), None)

    def document(self) -> dict[str, Any]:
        """Return plain lists and strings, the same structure as the TOML file."""
        return {run.kind: _run_document(run) for run in self.runs}


def load_task_description(path: Path | None = None) -> TaskDescription:
    """Return the default task description, with the sections and keys of a file in place of the defaults.

    Parameters
    ----------
    path
        A TOML file with any of the sections `rest`, `faces`, `conflict`. A key that it gives replaces the default;
        `conditions` must then name every condition of the run. None: the defaults alone.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no TOML, has unknown keys, or gives one name two meanings.
    """
    document = _defaults()
    if path is not None:
        for section, entries in _read_toml(path).items():
            if section not in document:
                raise ConfigError(
                    f"expected the sections {', '.join(RUN_KINDS)}; found [{section[:60]}].", where=section[:60]
                )
            if not isinstance(entries, Mapping):
                raise ConfigError(f"expected a section [{section}], found a single value.", where=section)
            document[section] = {**document[section], **entries}
    return task_description_from_document(document)


def task_description_from_document(document: Mapping[str, Any]) -> TaskDescription:
    """Return the task description that `TaskDescription.document` wrote.

    Raises
    ------
    ConfigError
        If a section is absent or unknown, a key unknown, or a value of the wrong type.
    """
    if set(document) != set(RUN_KINDS):
        raise ConfigError(f"expected the sections {', '.join(RUN_KINDS)}; found {', '.join(map(str, document))}.")
    return TaskDescription(tuple(_run_of_document(kind, document[kind]) for kind in RUN_KINDS))


def run_name(kind: RunKind, number: int) -> str:
    """Return what a run is called within its visit; the first of its kind has the bare name.

    Examples
    --------
    >>> run_name("rest", 1), run_name("rest", 2)
    ('rest', 'rest_2')
    """
    return kind if number == 1 else f"{kind}_{number}"


def parse_run_name(name: str) -> tuple[RunKind, int] | None:
    """Return kind and number of a run's name, None if it is none.

    Examples
    --------
    >>> parse_run_name("rest_2"), parse_run_name("rest_0"), parse_run_name("rest_sidecar")
    (('rest', 2), None, None)
    """
    _, _, digits = name.partition("_")
    number = int(digits) if digits.isdecimal() and len(digits) < 4 else 1
    return next(((kind, number) for kind in RUN_KINDS if number > 0 and name == run_name(kind, number)), None)


def canonical_name(name: str) -> str:
    """Return a name without case, spaces and punctuation; numbers by value, so that "1.0" is "1" and not "-1".

    Examples
    --------
    >>> canonical_name(" Fearful_Face "), canonical_name("1.0"), canonical_name("-1")
    ('fearfulface', '1', '-1')
    """
    plain = name.strip().casefold()
    try:
        return f"{float(plain):g}"
    except ValueError:
        # A name of signs only ("+") keeps them: an empty name would match every other such name.
        return "".join(letter for letter in plain if letter.isalnum()) or plain


def _defaults() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "task_description.toml").read_text(encoding="utf-8"))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"expected a task description of at most {_MAX_FILE_BYTES} bytes.", where=path.name)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the task description cannot be read: {error.strerror}.",
            where=path.name,
            remedy="Check the path after --tasks.",
        ) from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigError(f"the task description is not valid TOML: {error}.", where=path.name) from error


def _run_document(run: RunDescription) -> dict[str, Any]:
    document: dict[str, Any] = {"tasks": list(run.tasks)}
    if run.conditions:
        document["column"] = run.column
        document["conditions"] = {condition: list(names) for condition, names in run.conditions}
    for key in ("accuracy_columns", "correct_values", "incorrect_values"):
        if getattr(run, key):
            document[key] = list(getattr(run, key))
    return document


def _run_of_document(kind: RunKind, document: Any) -> RunDescription:
    if not isinstance(document, Mapping):
        raise ConfigError(f"expected a section [{kind}], found a single value.", where=kind)
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        raise ConfigError(
            f"unknown key {', '.join(str(key)[:60] for key in unknown)}; expected {', '.join(_KEYS)}.", where=kind
        )
    column = document.get("column", "trial_type")
    if not isinstance(column, str) or not column.strip():
        raise ConfigError("expected the name of a column.", where=f"{kind}.column")
    conditions = document.get("conditions", {})
    if not isinstance(conditions, Mapping) or set(conditions) != set(CONDITIONS[kind]):
        expected = ", ".join(CONDITIONS[kind]) or "none"
        raise ConfigError(f"expected the conditions {expected}.", where=f"{kind}.conditions")
    return RunDescription(
        kind=kind,
        tasks=_names(document, "tasks", where=kind, needed=True),
        column=column,
        conditions=tuple(
            (name, _names(conditions, name, where=f"{kind}.conditions", needed=True)) for name in CONDITIONS[kind]
        ),
        accuracy_columns=_names(document, "accuracy_columns", where=kind, canonical=False),
        correct_values=_names(document, "correct_values", where=kind),
        incorrect_values=_names(document, "incorrect_values", where=kind),
    )


def _names(
    document: Mapping[str, Any], key: str, *, where: str, needed: bool = False, canonical: bool = True
) -> tuple[str, ...]:
    names = document.get(key, [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError("expected a list of names.", where=f"{where}.{key}")
    if needed and not names:
        raise ConfigError("expected at least one name.", where=f"{where}.{key}")
    # Two spellings of one name in the same list are no contradiction.
    return tuple(dict.fromkeys(canonical_name(name) if canonical else name for name in names))


def _check_unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"expected one meaning per name; these have two: {', '.join(twice)}.", where=where)
