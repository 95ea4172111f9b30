"""Compiled elastic net: one training set after another, each along a whole path of penalties, exactly.

At one penalty the solution is linear in the outcome as soon as one knows which coefficients are not 0 and their signs
(the active set). Neighbouring penalties have nearly the same active set, so it is carried along the path: solve the
linear equations of the active set, let go of coefficients that would change sign, take in those that break the
optimality conditions, until none does. There is no tolerance that a user would have to know, and no slow convergence
at weak penalties.

Two ways of keeping a training set: a covariance matrix when there are not many more features than people (that of a
training set with one person fewer follows by subtraction), the columns themselves when there are.
Covariates that are not penalised are eliminated first; by the theorem of Frisch, Waugh and Lovell the penalised
coefficients are then the same as in the joint problem.

All compiled functions live in this one file: numba's cache notices changes of the file it belongs to and of no other.
Nothing here checks its input; `elastic_net_cv` does.

References
----------
Friedman J, Hastie T, Tibshirani R (2010). Regularization paths for generalized linear models via coordinate descent.
J Stat Softw 33(1):1-22.
Osborne MR, Presnell B, Turlach BA (2000). A new approach to variable selection in least squares problems. IMA J Numer
Anal 20:389-403.
Tibshirani R et al. (2012). Strong rules for discarding predictors in lasso-type problems. J R Stat Soc B 74:245-266.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Function = TypeVar("Function", bound=Callable[..., Any])

# lambda_max of a ridge is infinite; R's glmnet starts its path where an elastic net with this l1 ratio would.
RIDGE_L1_RATIO = 1e-3
# glmnet ends a path of its own at the first penalty, from the fifth on, that explains so little more, or so much.
MIN_STEPS, MIN_RELATIVE_GAIN, MAX_EXPLAINED = 5, 1e-5, 0.999
# Share of its variance that a column must keep beside the covariates; below, only rounding errors are left.
MIN_VARIANCE_LEFT = 1e-10
MIN_OUTCOME_VARIANCE_LEFT = 1e-13
# Where less is left of a variance after subtracting people, digits are lost: it is computed anew.
MIN_VARIANCE_AFTER_SUBTRACTION = 1e-6
# An inactive coefficient is at rest up to this much beyond its bound (relative, absolute).
RELATIVE_SLACK, ABSOLUTE_SLACK = 1e-9, 1e-13
# Keeps the equations solvable where a lasso has more active columns than people, or equal ones.
MIN_RIDGE, MIN_RIDGE_OVER_PEOPLE = 1e-12, 1e-9
# First many changes at once, which is fast and nearly always ends; then one by one, which always ends.
QUICK_ROUNDS, MAX_ROUNDS = 15, 20_000


# Sums may be reordered, which vectorises them; other threads run meanwhile; only what Python calls is wrapped and kept.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _inner(function: Function) -> Function:
    """Compile together with the entry point that uses it."""
    return cast(Function, numba.njit(**_OPTIONS, **_INNER)(function))


def _entry(function: Function) -> Function:
    """Compile at the first call and keep the result on disk."""
    return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))


class Sample(NamedTuple):
    """One training set: centred, scaled, covariates eliminated. Columns: covariates, features, outcome last."""

    is_wide: bool
    n_free: int
    fill: Floats  # (n_columns,): median of the people measured, which missing values take
    mean: Floats  # (n_columns,)
    inverse_scale: Floats  # (n_columns,): 0 where the column is constant, 1 for the outcome
    is_constant: Booleans  # (n_columns,)
    scatter: Floats  # (n_columns, n_columns): sums of centred products, as measured; empty if wide
    covariance: Floats  # (n_columns, n_columns): of what covariates leave; empty if wide
    columns: Floats  # (n_columns, n_people): centred; if wide, what covariates leave of them
    elimination: Floats  # (n_free, n_columns): share of every covariate in the columns after it
    moments: Floats  # (n_columns,): covariance with the outcome, in its standard deviations
    outcome_sd: Floats  # (1,): of what covariates leave of the outcome; 0 if nothing


class State(NamedTuple):
    """Where the descent along one path stands."""

    coefficients: Floats  # (n_columns,)
    gradient: Floats  # (n_columns,): moments - covariance @ coefficients
    sign: Floats  # (n_columns,)
    n_active: Integers  # (1,)
    active: Integers  # (n_columns,): numbers of the active columns come first
    is_active: Booleans  # (n_columns,)
    is_candidate: Booleans  # (n_columns,): not ruled out by the strong rule
    equations: Floats  # (n_equations, n_equations): lower half
    solution: Floats  # (n_columns,)
    residual: Floats  # (n_people,)
    people: Floats  # (n_people, n_people): products of people over the active columns; empty unless wide


# ---- one training set ------------------------------------------------------------------------------------------------


@_inner
def new_sample(n_columns: int, n_people: int, n_free: int, is_wide: bool) -> Sample:
    """Room for a training set of up to `n_people`."""
    n_square = 0 if is_wide else n_columns
    return Sample(
        is_wide,
        n_free,
        np.empty(n_columns),
        np.empty(n_columns),
        np.empty(n_columns),
        np.empty(n_columns, dtype=np.bool_),
        np.empty((n_square, n_square)),
        np.empty((n_square, n_square)),
        np.empty((n_columns, n_people)),
        np.empty((n_free, n_columns)),
        np.empty(n_columns),
        np.empty(1),
    )


@_inner
def measure(values: Floats, rows: Integers, sample: Sample) -> None:
    """Mean, constancy and sums of products over the given people, from their values; missing ones are filled."""
    n_columns, n_people = len(values), len(rows)
    columns = sample.columns
    for j in range(n_columns):
        fill = sample.fill[j] = _median_if_missing(values[j], rows)
        first, total, is_constant = _value_or(values[j, rows[0]], fill), 0.0, True
        for r in range(n_people):
            value = _value_or(values[j, rows[r]], fill)
            total += value
            is_constant = is_constant and value == first
            columns[j, r] = value
        mean = first if is_constant else total / n_people
        sample.mean[j], sample.is_constant[j] = mean, is_constant
        for r in range(n_people):
            columns[j, r] -= mean
    if not sample.is_wide:
        for i in range(n_columns):
            for j in range(i + 1):
                total = _dot(columns, i, columns, j, n_people)
                sample.scatter[i, j] = sample.scatter[j, i] = total


@_inner
def _value_or(value: float, fill: float) -> float:
    return fill if np.isnan(value) else value


@_inner
def _median_if_missing(column: Floats, rows: Integers) -> float:
    """Median of `rows` where anyone, held out or not, lacks a value; else, and where no row has one, 0."""
    n_missing = 0
    for person in range(len(column)):
        n_missing += np.isnan(column[person])
    if n_missing == 0:
        return 0.0
    ordered, n_known = np.empty(len(rows)), 0
    for r in range(len(rows)):
        value = column[rows[r]]
        if not np.isnan(value):
            place = n_known
            while place > 0 and ordered[place - 1] > value:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = value
            n_known += 1
    return float(ordered[(n_known - 1) // 2] + ordered[n_known // 2]) / 2.0 if n_known else 0.0


@_inner
def subtract(values: Floats, people: Integers, whole: Sample, n_whole: int, part: Sample) -> bool:
    """Make `part` what `whole` would be without some people; False where this would cost digits."""
    n_columns, n_part = len(values), n_whole - len(people)
    scatter, distance = part.scatter, part.moments
    for i in range(n_columns):
        part.fill[i], part.mean[i], part.is_constant[i] = whole.fill[i], whole.mean[i], whole.is_constant[i]
        for j in range(n_columns):
            scatter[i, j] = whole.scatter[i, j]
    # One person: both corrections below point the same way and become one.
    weight = n_whole / n_part if len(people) == 1 else 1.0
    for person in people:
        for j in range(n_columns):
            distance[j] = values[j, person] - whole.mean[j]
            part.mean[j] -= distance[j] / n_part
        _add_product(scatter, distance, -weight)
    if len(people) > 1:
        for j in range(n_columns):
            distance[j] = whole.mean[j] - part.mean[j]
        _add_product(scatter, distance, -float(n_part))
    is_precise = True
    for j in range(n_columns):
        is_precise = is_precise and scatter[j, j] >= MIN_VARIANCE_AFTER_SUBTRACTION * whole.scatter[j, j]
    return is_precise


@_inner
def _add_product(matrix: Floats, vector: Floats, weight: float) -> None:
    size = len(vector)
    for i in range(size):
        factor = weight * vector[i]
        if factor != 0.0:
            for j in range(size):
                matrix[i, j] += factor * vector[j]


@_inner
def _dot(left: Floats, i: int, right: Floats, j: int, size: int) -> float:
    total = 0.0
    for r in range(size):
        total += left[i, r] * right[j, r]
    return total


@_inner
def standardise(sample: Sample, n_people: int, scale_like: Integers, is_standardised: bool) -> None:
    """Divide every column by the standard deviation (1/n) of column `scale_like`, then eliminate covariates."""
    last = len(sample.mean) - 1
    for j in range(last):
        source = scale_like[j]
        inverse = 1.0
        if sample.is_constant[j] or sample.is_constant[source]:
            inverse = 0.0
        elif is_standardised and sample.is_wide:
            inverse = 1.0 / np.sqrt(_dot(sample.columns, source, sample.columns, source, n_people) / n_people)
        elif is_standardised:
            inverse = 1.0 / np.sqrt(sample.scatter[source, source] / n_people)
        sample.inverse_scale[j] = inverse
    sample.inverse_scale[last] = 1.0
    if sample.is_wide:
        _eliminate_from_columns(sample, n_people)
    else:
        _eliminate_from_covariance(sample, n_people)


@_inner
def _eliminate_from_covariance(sample: Sample, n_people: int) -> None:
    size, covariance, elimination = len(sample.mean), sample.covariance, sample.elimination
    for i in range(size):
        factor = sample.inverse_scale[i] / n_people
        for j in range(size):
            covariance[i, j] = sample.scatter[i, j] * factor * sample.inverse_scale[j]
    variance = sample.moments
    for j in range(size):
        variance[j] = covariance[j, j]
    for u in range(sample.n_free):
        pivot = covariance[u, u]
        is_redundant = pivot <= MIN_VARIANCE_LEFT * variance[u]
        for j in range(size):
            elimination[u, j] = 0.0 if is_redundant or j <= u else covariance[u, j] / pivot
        for i in range(u + 1, size):
            share = elimination[u, i]
            for j in range(size):
                covariance[i, j] -= share * covariance[u, j]
    for j in range(sample.n_free, size - 1):
        if covariance[j, j] <= MIN_VARIANCE_LEFT * variance[j]:
            for i in range(size):
                covariance[i, j] = covariance[j, i] = 0.0
    last = size - 1
    has_signal = covariance[last, last] > MIN_OUTCOME_VARIANCE_LEFT * variance[last]
    sample.outcome_sd[0] = np.sqrt(covariance[last, last]) if has_signal else 0.0
    for j in range(last):
        sample.moments[j] = covariance[j, last] / sample.outcome_sd[0] if has_signal else 0.0


@_inner
def _eliminate_from_columns(sample: Sample, n_people: int) -> None:
    size, columns, elimination = len(sample.mean), sample.columns, sample.elimination
    last, variance = size - 1, sample.moments
    for j in range(size):
        for r in range(n_people):
            columns[j, r] *= sample.inverse_scale[j]
        variance[j] = _dot(columns, j, columns, j, n_people)
    for u in range(sample.n_free):
        pivot = _dot(columns, u, columns, u, n_people)
        is_redundant = pivot <= MIN_VARIANCE_LEFT * variance[u]
        for j in range(size):
            share = 0.0 if is_redundant or j <= u else _dot(columns, u, columns, j, n_people) / pivot
            elimination[u, j] = share
            for r in range(n_people):
                columns[j, r] -= share * columns[u, r]
    left = _dot(columns, last, columns, last, n_people)
    has_signal = left > MIN_OUTCOME_VARIANCE_LEFT * variance[last]
    sample.outcome_sd[0] = np.sqrt(left / n_people) if has_signal else 0.0
    for r in range(n_people):
        columns[last, r] = columns[last, r] / sample.outcome_sd[0] if has_signal else 0.0
    for j in range(last):
        if 0 < sample.n_free <= j and _dot(columns, j, columns, j, n_people) <= MIN_VARIANCE_LEFT * variance[j]:
            for r in range(n_people):
                columns[j, r] = 0.0
        sample.moments[j] = _dot(columns, j, columns, last, n_people) / n_people


@_inner
def express(values: Floats, people: Integers, sample: Sample, expressed: Floats, start: Floats) -> None:
    """Held-out people in the training set's columns (n_people, n_columns), and what covariates predict for them."""
    last = len(sample.mean) - 1
    for t in range(len(people)):
        start[t] = sample.mean[last]
        for j in range(last):
            expressed[t, j] = (_value_or(values[j, people[t]], sample.fill[j]) - sample.mean[j]) * sample.inverse_scale[
                j
            ]
        for u in range(sample.n_free):
            own = expressed[t, u]
            start[t] += own * sample.elimination[u, last]
            for j in range(u + 1, last):
                expressed[t, j] -= own * sample.elimination[u, j]


# ---- one penalty -----------------------------------------------------------------------------------------------------


@_inner
def new_state(sample: Sample, n_people: int) -> State:
    """Room for the descent along the paths of a training set."""
    size = len(sample.mean)
    n_equations = n_people if sample.is_wide else size
    n_square = n_people if sample.is_wide else 0
    return State(
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(1, dtype=np.int64),
        np.empty(size, dtype=np.int64),
        np.empty(size, dtype=np.bool_),
        np.empty(size, dtype=np.bool_),
        np.empty((n_equations, n_equations)),
        np.empty(size),
        np.empty(n_people),
        np.empty((n_square, n_square)),
    )


@_inner
def _start(sample: Sample, state: State) -> None:
    """Nothing is active."""
    state.n_active[0] = 0
    for j in range(len(sample.mean)):
        state.coefficients[j], state.gradient[j], state.is_active[j] = 0.0, sample.moments[j], False
    for r in range(len(state.people)):
        for s in range(len(state.people)):
            state.people[r, s] = 0.0


@_inner
def _settle(sample: Sample, state: State, n_people: int, penalty: float, previous: float, l1_ratio: float) -> bool:
    """Solve at one penalty from the solution at the previous one; False if that did not come to an end."""
    bound = penalty * l1_ratio
    ridge = max(penalty * (1.0 - l1_ratio), MIN_RIDGE)
    if sample.is_wide:
        least = l1_ratio * (2.0 * penalty - previous) - ABSOLUTE_SLACK
        for j in range(sample.n_free, len(sample.mean) - 1):
            state.is_candidate[j] = state.is_active[j] or abs(state.gradient[j]) >= least
    for round_number in range(MAX_ROUNDS):
        is_careful = round_number >= QUICK_ROUNDS
        if not _move(sample, state, n_people, bound, ridge, is_careful):
            continue
        for look in range(2):
            everywhere = look == 1 or not sample.is_wide
            if _admit(sample, state, n_people, bound, is_careful, everywhere):
                break
            if everywhere:
                return True
    return False


@_inner
def _move(sample: Sample, state: State, n_people: int, bound: float, ridge: float, is_careful: bool) -> bool:
    """Go to the optimum of the active columns, or as far as signs hold; False if columns left the active set."""
    n_active = state.n_active[0]
    if n_active == 0:
        return True
    if sample.is_wide and 2 * n_active > n_people and (ridge >= MIN_RIDGE_OVER_PEOPLE or n_active > n_people):
        _solve_over_people(sample, state, n_people, bound, max(ridge, MIN_RIDGE_OVER_PEOPLE))
    else:
        _solve_over_columns(sample, state, n_people, bound, ridge)
    coefficients, solution, sign, active = state.coefficients, state.solution, state.sign, state.active
    length = 1.0
    if is_careful and bound > 0.0:
        for a in range(n_active):
            j = active[a]
            if solution[a] * sign[j] <= 0.0:
                length = min(length, _share_of_way(coefficients[j], solution[a]))
    n_kept = 0
    for a in range(n_active):
        j = active[a]
        is_leaving = bound > 0.0 and solution[a] * sign[j] <= 0.0
        if is_leaving and is_careful:
            is_leaving = _share_of_way(coefficients[j], solution[a]) <= length
        if is_leaving:
            coefficients[j] = 0.0
            state.is_active[j] = False
            if sample.is_wide:
                _add_person_products(sample, state, n_people, j, -1.0)
        else:
            coefficients[j] += length * (solution[a] - coefficients[j])
            active[n_kept] = j
            n_kept += 1
    state.n_active[0] = n_kept
    return bool(n_kept == n_active)


@_inner
def _share_of_way(coefficient: float, goal: float) -> float:
    """Share of the way to a goal beyond 0 at which 0 is reached."""
    return coefficient / (coefficient - goal) if coefficient != 0.0 else 0.0


@_inner
def _admit(sample: Sample, state: State, n_people: int, bound: float, is_careful: bool, everywhere: bool) -> bool:
    """Activate columns that break the optimality conditions: all of them, or the worst one; False if none does."""
    _update_gradient(sample, state, n_people, everywhere)
    gradient, is_active, is_candidate = state.gradient, state.is_active, state.is_candidate
    n_before, last = state.n_active[0], len(sample.mean) - 1
    most, worst = bound * (1.0 + RELATIVE_SLACK) + ABSOLUTE_SLACK, last
    for j in range(sample.n_free, last):
        if is_active[j] or abs(gradient[j]) <= most or not (everywhere or is_candidate[j]):
            continue
        if not is_careful:
            _activate(sample, state, n_people, j)
        elif worst == last or abs(gradient[j]) > abs(gradient[worst]):
            worst = j
    if worst < last:
        _activate(sample, state, n_people, worst)
    return bool(state.n_active[0] > n_before)


@_inner
def _activate(sample: Sample, state: State, n_people: int, j: int) -> None:
    state.active[state.n_active[0]] = j
    state.n_active[0] += 1
    state.is_active[j] = True
    state.is_candidate[j] = True
    state.sign[j] = 1.0 if state.gradient[j] > 0.0 else -1.0
    if sample.is_wide:
        _add_person_products(sample, state, n_people, j, 1.0)


@_inner
def _update_gradient(sample: Sample, state: State, n_people: int, everywhere: bool) -> None:
    """Covariance of every column (or every candidate) with what the model leaves of the outcome."""
    gradient, active, coefficients = state.gradient, state.active, state.coefficients
    if not sample.is_wide:
        covariance, moments, size = sample.covariance, sample.moments, len(sample.mean)
        for j in range(size):
            gradient[j] = moments[j]
        for a in range(state.n_active[0]):
            i = active[a]
            coefficient = coefficients[i]
            for j in range(size):
                gradient[j] -= coefficient * covariance[i, j]
        return
    columns, residual, is_candidate, last = sample.columns, state.residual, state.is_candidate, len(sample.mean) - 1
    for r in range(n_people):
        residual[r] = columns[last, r]
    for a in range(state.n_active[0]):
        i = active[a]
        coefficient = coefficients[i]
        for r in range(n_people):
            residual[r] -= coefficient * columns[i, r]
    for j in range(sample.n_free, last):
        if everywhere or is_candidate[j]:
            total = 0.0
            for r in range(n_people):
                total += columns[j, r] * residual[r]
            gradient[j] = total / n_people


@_inner
def _add_person_products(sample: Sample, state: State, n_people: int, j: int, weight: float) -> None:
    for r in range(n_people):
        factor = weight * sample.columns[j, r] / n_people
        for s in range(n_people):
            state.people[r, s] += factor * sample.columns[j, s]


@_inner
def _solve_over_columns(sample: Sample, state: State, n_people: int, bound: float, ridge: float) -> None:
    """Solve (covariance + ridge) x = moments - bound * sign over the active columns."""
    equations, solution, active, n_active = state.equations, state.solution, state.active, state.n_active[0]
    if sample.is_wide:
        columns = sample.columns
        for a in range(n_active):
            for c in range(a + 1):
                equations[a, c] = _dot(columns, active[a], columns, active[c], n_people) / n_people
    else:
        covariance = sample.covariance
        for a in range(n_active):
            i = active[a]
            for c in range(a + 1):
                equations[a, c] = covariance[i, active[c]]
    moments, sign = sample.moments, state.sign
    for a in range(n_active):
        i = active[a]
        equations[a, a] += ridge
        solution[a] = moments[i] - bound * sign[i]
    _solve(equations, n_active, solution)


@_inner
def _solve_over_people(sample: Sample, state: State, n_people: int, bound: float, ridge: float) -> None:
    """Solve the same through as many equations as there are people (identity of Woodbury)."""
    equations, solution, active, n_active = state.equations, state.solution, state.active, state.n_active[0]
    columns, people, right, moments, sign = sample.columns, state.people, state.residual, sample.moments, state.sign
    for r in range(n_people):
        for s in range(r + 1):
            equations[r, s] = people[r, s]
        equations[r, r] += ridge
        right[r] = 0.0
    for a in range(n_active):
        i = active[a]
        solution[a] = moments[i] - bound * sign[i]
        for r in range(n_people):
            right[r] += solution[a] * columns[i, r]
    _solve(equations, n_people, right)
    for a in range(n_active):
        i = active[a]
        total = 0.0
        for r in range(n_people):
            total += columns[i, r] * right[r]
        solution[a] = (solution[a] - total / n_people) / ridge


@_inner
def _solve(equations: Floats, size: int, solution: Floats) -> None:
    """Solve symmetric positive definite equations, given by their lower half; the right side becomes the solution.

    The last unknown is eliminated first, so that the inner loops begin at 0: only those are vectorised well.
    """
    for back in range(size):
        a = size - 1 - back
        inverse = 1.0 / equations[a, a]
        for i in range(a):
            factor = equations[a, i] * inverse
            solution[i] -= factor * solution[a]
            for c in range(i + 1):
                equations[i, c] -= factor * equations[a, c]
    for a in range(size):
        total = solution[a]
        for c in range(a):
            total -= equations[a, c] * solution[c]
        solution[a] = total / equations[a, a]


# ---- one path --------------------------------------------------------------------------------------------------------


@_inner
def fill_grid(sample: Sample, l1_ratio: float, smallest_fraction: float, grid: Floats) -> None:
    """Penalties of glmnet: from the one that empties the model, in equal steps of the logarithm."""
    strongest = 0.0
    for j in range(sample.n_free, len(sample.mean) - 1):
        strongest = max(strongest, abs(sample.moments[j]))
    largest = strongest / max(l1_ratio, RIDGE_L1_RATIO) * sample.outcome_sd[0]
    n_steps = max(len(grid) - 1, 1)
    for step in range(len(grid)):
        grid[step] = largest * smallest_fraction ** (step / n_steps)


@_inner
def walk(
    sample: Sample,
    state: State,
    n_people: int,
    grid: Floats,
    l1_ratio: float,
    stops_early: bool,
    expressed: Floats,
    start: Floats,
    predictions: Floats,
    n_nonzero: Integers,
    explained: Floats,
    coefficients: Floats,
) -> int:
    """Solve along decreasing penalties and predict held-out people; return how many penalties were solved.

    `predictions` is (n_held_out, n_penalties); `coefficients` (n_penalties, n_columns), on the scale of the columns as
    standardised, may have no rows. 0 is returned where a solution was not found.
    """
    _start(sample, state)
    scale, last, active, solved = sample.outcome_sd[0], len(sample.mean) - 1, state.active, state.coefficients
    previous, before = 0.0, 0.0
    for j in range(sample.n_free, last):
        previous = max(previous, abs(sample.moments[j]) / max(l1_ratio, RIDGE_L1_RATIO))
    for step in range(len(grid)):
        if scale > 0.0:
            penalty = grid[step] / scale
            if not _settle(sample, state, n_people, penalty, max(previous, penalty), l1_ratio):
                return 0
            previous = penalty
        n_active = n_nonzero[step] = state.n_active[0]
        for t in range(len(start)):
            total = 0.0
            for a in range(n_active):
                total += solved[active[a]] * expressed[t, active[a]]
            predictions[t, step] = start[t] + scale * total
        for j in range(last if len(coefficients) else 0):
            coefficients[step, j] = scale * solved[j]
        explained[step] = _explained(sample, state, n_people)
        if stops_early and step + 1 >= MIN_STEPS:
            gain = explained[step] - before
            if gain < MIN_RELATIVE_GAIN * explained[step] or explained[step] > MAX_EXPLAINED or scale == 0.0:
                return step + 1
        before = explained[step]
    return len(grid)


@_inner
def _explained(sample: Sample, state: State, n_people: int) -> float:
    """Share of the outcome's variance beside the covariates that the model explains in its own training set."""
    total = 0.0
    if sample.is_wide:
        for r in range(n_people if state.n_active[0] else 0):
            total += sample.columns[len(sample.mean) - 1, r] ** 2 - state.residual[r] ** 2
        return total / n_people
    for a in range(state.n_active[0]):
        j = state.active[a]
        total += state.coefficients[j] * (sample.moments[j] + state.gradient[j])
    return total


@_inner
def on_raw_scale(sample: Sample, coefficients: Floats, intercepts: Floats) -> None:
    """Turn coefficients of `walk` into those of the columns as given, covariates and intercepts included."""
    last = len(sample.mean) - 1
    for step in range(len(coefficients)):
        for u in range(sample.n_free - 1, -1, -1):
            total = sample.elimination[u, last]
            for j in range(u + 1, last):
                total -= sample.elimination[u, j] * coefficients[step, j]
            coefficients[step, u] = total
        intercepts[step] = sample.mean[last]
        for j in range(last):
            coefficients[step, j] *= sample.inverse_scale[j]
            intercepts[step] -= coefficients[step, j] * sample.mean[j]


# ---- many training sets ----------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What stays the same for every training set."""

    n_free: int
    scale_like: Integers  # (n_columns - 1,): column whose standard deviation each column is divided by
    is_standardised: bool
    is_wide: bool
    has_missing: bool  # the median of a fold is its own: nothing can be subtracted
    l1_ratios: Floats  # (n_ratios,)
    n_penalties: int
    smallest_fraction: float  # negative: glmnet's rule
    stops_early: bool
    shares_grid: bool  # inner folds use the penalties of the whole training set; else each has its own


class Tuned(NamedTuple):
    """One training set, tuned by inner folds; filled by `tune`."""

    penalties: Floats  # (n_ratios, n_penalties)
    n_solved: Integers  # (n_ratios,): 0 where a solution was not found
    squared_errors: Floats  # (n_ratios, n_people, n_penalties): of inner held-out predictions
    predictions: Floats  # (n_ratios, n_test, n_penalties)
    n_nonzero: Integers  # (n_ratios, n_penalties): coefficients that are not 0, those of covariates included


class SolvedPath(NamedTuple):
    """One path; filled by `fit_path`."""

    penalties: Floats  # (n_penalties,)
    coefficients: Floats  # (n_penalties, n_columns): for the columns as given
    intercepts: Floats  # (n_penalties,)
    explained: Floats  # (n_penalties,): share of the outcome's variance beside the covariates
    n_nonzero: Integers  # (n_penalties,): penalised coefficients that are not 0


@_entry
def fit_path(
    values: Floats, rows: Integers, is_grid_given: bool,
    n_free: int, scale_like: Integers, is_standardised: bool, is_wide: bool, has_missing: bool,
    l1_ratios: Floats, n_penalties: int, smallest_fraction: float, stops_early: bool, shares_grid: bool,
    penalties: Floats, coefficients: Floats, intercepts: Floats, explained: Floats, n_nonzero: Integers,
) -> int:  # fmt: skip
    """Solve for the penalties given, or for glmnet's; return for how many it was done, 0 if a solution was not found.

    After the third come the fields of `Plan`, then those of `SolvedPath`, one by one: numba's cache would keep the
    records' names and fail when it finds them changed.
    """
    plan = Plan(
        n_free, scale_like, is_standardised, is_wide, has_missing, l1_ratios, n_penalties, smallest_fraction,
        stops_early, shares_grid,
    )  # fmt: skip
    path = SolvedPath(penalties, coefficients, intercepts, explained, n_nonzero)
    n_columns, n_people = len(values), len(rows)
    sample = new_sample(n_columns, n_people, plan.n_free, plan.is_wide)
    measure(values, rows, sample)
    standardise(sample, n_people, plan.scale_like, plan.is_standardised)
    if not is_grid_given:
        fill_grid(sample, plan.l1_ratios[0], _fraction(plan, n_people, n_columns - 1), path.penalties)
    n_solved = walk(
        sample, new_state(sample, n_people), n_people, path.penalties, plan.l1_ratios[0], plan.stops_early,
        np.empty((0, n_columns)), np.empty(0), np.empty((0, 0)), path.n_nonzero, path.explained, path.coefficients,
    )  # fmt: skip
    on_raw_scale(sample, path.coefficients, path.intercepts)
    return n_solved


@_entry
def tune(
    values: Floats, rows: Integers, folds: Integers, n_folds: int, test: Integers,
    n_free: int, scale_like: Integers, is_standardised: bool, is_wide: bool, has_missing: bool,
    l1_ratios: Floats, n_penalties: int, smallest_fraction: float, stops_early: bool, shares_grid: bool,
    penalties: Floats, n_solved_of: Integers, squared_errors: Floats, test_predictions: Floats, n_nonzero_of: Integers,
) -> None:  # fmt: skip
    """Solve the paths of a training set and of its inner folds, and predict the test rows along them.

    `values` (n_columns, n_everyone); `folds` (n_people,) numbers the inner fold of each of `rows` from 0. After the
    test rows come the fields of `Plan`, then those of `Tuned`; see `fit_path`.
    """
    plan = Plan(
        n_free, scale_like, is_standardised, is_wide, has_missing, l1_ratios, n_penalties, smallest_fraction,
        stops_early, shares_grid,
    )  # fmt: skip
    to = Tuned(penalties, n_solved_of, squared_errors, test_predictions, n_nonzero_of)
    n_columns, n_people = len(values), len(rows)
    whole = new_sample(n_columns, n_people, plan.n_free, plan.is_wide)
    part = new_sample(n_columns, n_people, plan.n_free, plan.is_wide)
    state = new_state(whole, n_people)
    n_at_once = max(len(test), n_people)
    expressed, start = np.empty((n_at_once, n_columns)), np.empty(n_at_once)
    grid, predictions = np.empty(plan.n_penalties), np.empty((n_at_once, plan.n_penalties))
    explained, n_nonzero = np.empty(plan.n_penalties), np.empty(plan.n_penalties, dtype=np.int64)
    coefficients = np.empty((0, n_columns))
    kept, held_out = np.empty(n_people, dtype=np.int64), np.empty(n_people, dtype=np.int64)
    for fold in range(-1, n_folds):  # the first round is the whole training set
        is_whole = fold < 0
        sample = whole if is_whole else part
        n_kept = _split(rows, folds, fold, kept, held_out)
        people = test if is_whole else held_out[: n_people - n_kept]
        if is_whole or plan.is_wide or plan.has_missing or not subtract(values, people, whole, n_people, part):
            measure(values, kept[:n_kept], sample)
        standardise(sample, n_kept, plan.scale_like, plan.is_standardised)
        express(values, people, sample, expressed, start)
        for k in range(len(plan.l1_ratios)):
            is_shared = plan.shares_grid and not is_whole
            if is_shared:
                for step in range(plan.n_penalties):
                    grid[step] = to.penalties[k, step]
            else:
                fill_grid(sample, plan.l1_ratios[k], _fraction(plan, n_kept, n_columns - 1), grid)
            n_steps = to.n_solved[k] if is_shared else plan.n_penalties
            n_solved = walk(
                sample, state, n_kept, grid[:n_steps], plan.l1_ratios[k], plan.stops_early and not is_shared,
                expressed, start[: len(people)], predictions, n_nonzero, explained, coefficients,
            )  # fmt: skip
            if is_whole:
                to.n_solved[k] = n_solved
                for step in range(n_solved):
                    to.penalties[k, step], to.n_nonzero[k, step] = grid[step], n_nonzero[step]
                    for u in range(plan.n_free):
                        to.n_nonzero[k, step] += sample.inverse_scale[u] > 0.0
                    for t in range(len(test)):
                        to.predictions[k, t, step] = predictions[t, step]
            elif n_solved == 0:
                to.n_solved[k] = 0
            else:
                position = 0
                for r in range(n_people):
                    if folds[r] == fold:
                        _square_errors(
                            grid[:n_solved], predictions[position], to.penalties[k, : to.n_solved[k]],
                            values[n_columns - 1, rows[r]], to.squared_errors[k, r],
                        )  # fmt: skip
                        position += 1


@_inner
def _fraction(plan: Plan, n_people: int, n_columns: int) -> float:
    if plan.smallest_fraction >= 0.0:
        return plan.smallest_fraction
    return 1e-2 if n_people < n_columns else 1e-4


@_inner
def _split(rows: Integers, folds: Integers, fold: int, kept: Integers, held_out: Integers) -> int:
    n_kept = n_held = 0
    for r in range(len(rows)):
        if folds[r] == fold:
            held_out[n_held] = rows[r]
            n_held += 1
        else:
            kept[n_kept] = rows[r]
            n_kept += 1
    return n_kept


@_inner
def _square_errors(own: Floats, predictions: Floats, grid: Floats, outcome: float, found: Floats) -> None:
    """Squared errors at the penalties of `grid`; predictions are linear between a fold's own, constant beyond."""
    at, last = 0, len(own) - 1
    for step in range(len(grid)):
        while at < last and own[at + 1] >= grid[step]:
            at += 1
        prediction = predictions[at]
        if at < last and grid[step] < own[at]:
            share = (own[at] - grid[step]) / (own[at] - own[at + 1])
            prediction += share * (predictions[at + 1] - predictions[at])
        found[step] = (prediction - outcome) ** 2
