"""Everything that fitting left behind in an estimator, as plain values that can be compared bit for bit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

StepState = Mapping[str, object]

# Clocks differ from fit to fit without anyone having seen anything.
TIMINGS = re.compile(r"(^|_)times?(_|$)")
# What a fitted pipeline is called by those who tune one.
INNER_PIPELINES = ("pipeline_", "best_estimator_")
TUNING, MODEL = "tuning", "model"
SCALARS = (str, bytes, bool, int, float, complex, np.generic, type(None))


def learned_steps(fitted: Any) -> dict[str, StepState]:
    """Learned state of a fitted estimator, step by step, in the order in which the steps act.

    The steps of a pipeline before its model, then what was tuned (where the estimator holds a tuned pipeline as
    `pipeline_` or `best_estimator_`), then the model: what changed first is what changed the rest. A bare estimator is
    the step "model".
    """
    pipeline = inner_pipeline(fitted)
    if pipeline is None:
        return {MODEL: state_of(fitted)}
    steps: dict[str, StepState] = {name: state_of(step) for name, step in pipeline.steps[:-1]}
    if pipeline is not fitted:
        steps[TUNING] = state_of(fitted, skipped=INNER_PIPELINES)
    last, model = pipeline.steps[-1]
    steps[last] = state_of(model)
    return steps


def state_of(estimator: Any, *, skipped: tuple[str, ...] = ()) -> dict[str, object]:
    """Learned values of one estimator by name.

    All attributes that are no constructor arguments, private ones included, down to the arrays in trees and records;
    and constructor arguments that are plain numbers or text, for a setting that was chosen on everyone is a leak too,
    or estimators, for a pipeline inside a pipeline keeps its fitted steps there. Tables among the arguments are no
    state: holding people is not learning from them.
    """
    return _state(estimator, skipped, frozenset())


def is_same(first: object, second: object) -> bool:
    """Equal bit for bit; NaN equals NaN."""
    left, right = np.asarray(first), np.asarray(second)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype == object:
        return [repr(one) for one in left.ravel()] == [repr(one) for one in right.ravel()]
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind in "fc"))


def inner_pipeline(fitted: Any) -> Pipeline | None:
    """Return the pipeline that an estimator is, or that it fitted; None for a bare one."""
    if isinstance(fitted, Pipeline):
        return fitted
    for name in INNER_PIPELINES:
        inner = vars(fitted).get(name)
        if isinstance(inner, Pipeline):
            return inner
    return None


def _state(estimator: Any, skipped: tuple[str, ...], seen: frozenset[int]) -> dict[str, object]:
    if estimator is None or isinstance(estimator, str):  # "passthrough"
        return {}
    inside = seen | {id(estimator)}
    settings = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    state: dict[str, object] = {}
    # sklearn's public learned names come first: they are the ones that a reader knows.
    for name, value in sorted(vars(estimator).items(), key=lambda item: (item[0].startswith("_"), item[0])):
        if name in settings or name in skipped or TIMINGS.search(name):
            continue
        state.update(_flattened(name, value, inside))
    for name, value in sorted(settings.items()):
        if _is_plain(value):
            state[f"setting {name}"] = value
        elif isinstance(value, BaseEstimator) or _is_list_of_steps(value):
            state.update(_flattened(name, value, inside))
    return state


def _is_plain(value: object) -> bool:
    if isinstance(value, SCALARS):
        return True
    return isinstance(value, tuple) and all(isinstance(one, SCALARS) for one in value)


def _is_list_of_steps(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, tuple) and isinstance(one[1], BaseEstimator) for one in value
    )


def _flattened(name: str, value: object, seen: frozenset[int]) -> dict[str, object]:
    """Return the value in plain parts, each under its own name."""
    if isinstance(value, SCALARS):
        return {name: value}
    if id(value) in seen:  # an object that holds itself
        return {}
    if isinstance(value, BaseEstimator):
        return {f"{name}.{key}": part for key, part in _state(value, (), seen).items()}
    inside = seen | {id(value)}
    if isinstance(value, np.ndarray) and (value.dtype != object or _holds_scalars(value)):
        return {name: value}
    found: dict[str, object] = {}
    for key, part in _parts(value):
        found.update(_flattened(f"{name}{key}", part, inside))
    return found


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """Yield what an object is made of, with how to get there."""
    if isinstance(value, Mapping):
        yield from ((f"[{key}]", one) for key, one in value.items() if not TIMINGS.search(str(key)))
    elif isinstance(value, list | tuple):
        yield from _of_sequence(value)
    elif isinstance(value, np.ndarray):  # of objects, such as the trees of a boosting
        yield from _of_sequence(list(value.ravel()))
    elif isinstance(value, Set):
        yield "", tuple(sorted(map(repr, value)))
    elif isinstance(value, pd.DataFrame):
        yield ".columns", value.columns
        for number in range(value.shape[1]):
            yield f"[{value.columns[number]}]", value.iloc[:, number].to_numpy()
    elif isinstance(value, pd.Series | pd.Index):
        yield "", value.to_numpy()
    elif isinstance(value, slice):
        yield "", (value.start, value.stop, value.step)
    elif isinstance(value, np.random.RandomState):
        yield ".state", value.get_state()
    elif isinstance(value, np.random.Generator):
        yield ".state", value.bit_generator.state
    elif callable(value):
        yield "", getattr(value, "__qualname__", type(value).__name__)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{field.name}", getattr(value, field.name)) for field in fields(value))
    else:
        yield from _of_object(value)


def _of_sequence(values: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, object]]:
    if all(isinstance(one, SCALARS) for one in values):
        yield "", np.array(values, dtype=None if _is_one_kind(values) else object)
    else:
        yield from ((f"[{number}]", one) for number, one in enumerate(values))


def _of_object(value: Any) -> Iterator[tuple[str, object]]:
    """Yield an object's attributes; compiled ones (trees of a forest) tell their state as if they were pickled."""
    yield ".type", type(value).__qualname__
    if hasattr(value, "__dict__"):
        yield from ((f".{name}", one) for name, one in sorted(vars(value).items()) if not TIMINGS.search(name))
    elif hasattr(value, "__getstate__") and isinstance(value.__getstate__(), Mapping):
        yield from ((f".{name}", one) for name, one in value.__getstate__().items())


def _holds_scalars(values: np.ndarray[Any, Any]) -> bool:
    return all(isinstance(one, SCALARS) for one in values.ravel())


def _is_one_kind(values: list[Any] | tuple[Any, ...]) -> bool:
    return len({type(one) for one in values}) <= 1 and not any(one is None for one in values)
