"""One experiment, one TOML file: which cohort, which outcome, which models, and how they are judged.

The primary model is named in the file, before anything is fitted; the file is logged whole with the run.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from predictor.errors import ConfigError
from predictor.model.learned_features import DEFAULT_THRESHOLD
from predictor.model.outcome_definition import MAX_ABS_VALUE
from predictor.model.site_correction import UnseenSitePolicy
from predictor.store_address import KNOWN as KNOWN_STORES
from predictor.store_address import store_address, without_credentials
from training.evaluation.splits import Scheme
from training.models.model_names import MODELS, PRIMARY_MODELS, REGRESSORS, TREE_MODELS
from training.multiverse.multiverse_config import MultiverseConfig
from training.report_config import ReportConfig

Section = TypeVar("Section")
InnerFolds = int | Literal["leave_one_out"]

EXPERIMENT_NAME, MODEL_NAME = re.compile(r"\w[\w .-]*"), re.compile(r"\w[\w -]*")
MAX_NAME_LENGTH = 100
MAX_ALPHAS = 1000
MAX_SEED = 2**32 - 1  # what scikit-learn takes


@dataclass(frozen=True, slots=True)
class CohortConfig:
    """Where the cohort stands. Paths are relative to the folder in which `krp` is called."""

    features: str  # features.tsv that `krp extract ... group` wrote, or a table of ready features
    participants: str  # participants.tsv
    include: Mapping[str, object] = field(default_factory=dict)  # column -> value, or list of values, to keep
    exclude_missing_outcome: bool = False  # true: leave people without an outcome out, on purpose
    name: str = ""  # how card and runs call the cohort; the experiment's name unless given
    # Column whose people belong together (families, visits of one person): never split over folds, outcomes exchanged
    # as wholes by permutations. People with an empty cell stand alone. Empty text: everyone does.
    groups: str = ""
    # When columns (or families of features) were measured: "baseline", or anything else for later; for `krp audit`.
    measured: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_text = all(isinstance(time, str) and time for time in self.measured.values())
        _require(is_text, "[cohort] measured", 'a time for every column, such as "baseline" or "week2"')


@dataclass(frozen=True, slots=True)
class OutcomeConfig:
    """A registered outcome by name, or a column of participants.tsv with what its numbers mean."""

    name: str = ""
    column: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"
    response_threshold: float | None = None

    def __post_init__(self) -> None:
        if bool(self.name) == bool(self.column):
            raise ConfigError("[outcome] needs either `name` (a registered outcome) or `column`, not both.")
        if self.column and not self.unit:
            raise ConfigError("[outcome] names a column, so it needs `unit` too.", where="[outcome] unit")


@dataclass(frozen=True, slots=True)
class FeaturesConfig:
    """What the models use.

    `families` may name learned families beside those of the table; empty means all but the quality measures.
    Features whose reliability, 1 - mean squared standard error / variance over the training people of a fold, is below
    `minimum_reliability` are set aside in that fold; 0 keeps all. `names` narrows the families down to measures that
    were chosen before looking; empty means all of them.
    """

    families: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    minimum_reliability: float = 0.0

    def __post_init__(self) -> None:
        is_share = 0 <= self.minimum_reliability < 1
        _require(is_share, "[features] minimum_reliability", "0 (keep all) up to below 1")


@dataclass(frozen=True, slots=True)
class ReferenceConfig:
    """Controls with whom everyone is compared; they are no part of folds or outcomes.

    Makes the learned families "deviation_rest" (one z per connection of `family`) and "deviation_summary" (hypo- and
    hyperconnected edges, mean deviation).
    """

    include: Mapping[str, object] = field(default_factory=lambda: {"group": "control"})  # as in [cohort]
    family: str = "rest_fisher_z"  # measured features that are judged
    # What the expectation depends on: columns of participants.tsv, or features such as the mean framewise displacement.
    covariates: tuple[str, ...] = ()
    threshold: float = DEFAULT_THRESHOLD  # standard deviations beyond which a connection counts as hypo or hyper

    def __post_init__(self) -> None:
        _require(bool(self.include), "[reference] include", "at least one column with the value that controls have")
        _require(len(set(self.covariates)) == len(self.covariates), "[reference] covariates", "every column once")
        _require(self.threshold > 0, "[reference] threshold", "a number above 0")


@dataclass(frozen=True, slots=True)
class CovariatesConfig:
    """Columns of participants.tsv by role.

    Arm, clinical columns and site (as indicators) enter the models unpenalised: features must add to them.
    Demographic columns and motion serve baselines only.
    """

    arm: str | None = None  # empty text means none, as for treatment and site: TOML has no other word for it
    treatment: str | None = None  # the arm of interest, named first in every answer; else the first by alphabet
    clinical: tuple[str, ...] = ()
    site: str | None = None
    demographic: tuple[str, ...] = ()
    motion: tuple[str, ...] = ()  # where the feature table carries no quality measures
    interactions: bool = False  # arm x feature

    def __post_init__(self) -> None:
        if self.interactions and not self.arm:
            raise ConfigError("interactions are arm x feature, but no arm column is named.", where="[covariates]")
        named = [name for name in (self.arm, self.site, *self.clinical, *self.demographic, *self.motion) if name]
        doubled = sorted({name for name in named if named.count(name) > 1})
        if doubled:
            raise ConfigError(f"expected every column in one role, found {doubled[0]} twice.", where="[covariates]")


@dataclass(frozen=True, slots=True)
class HarmonizationConfig:
    """Site effects that are taken out of the features, learned from the training people of every fold (ComBat).

    `families` empty harmonises everything that the models weigh. The effect of `preserved` columns of participants.tsv
    on the features is kept.
    """

    families: tuple[str, ...] = ()
    preserved: tuple[str, ...] = ()
    # Of a site that no training person is from: "flag" takes features as they are, "reference" too, but all sites are
    # moved to `reference_site`; "refuse" gives no answer.
    unseen_site: UnseenSitePolicy = "flag"
    reference_site: str = ""  # empty: the mean over sites

    def __post_init__(self) -> None:
        _require(len(set(self.preserved)) == len(self.preserved), "[harmonization] preserved", "every column once")
        is_named = bool(self.reference_site) or self.unseen_site != "reference"
        _require(is_named, "[harmonization] reference_site", "a site, for the policy `reference`")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The primary model, named before fitting, and candidates that are reported but never promoted.

    With `compete`, or an empty `primary`, the models compete instead: the best one comes first, p is of the maximum
    over all of them, and nothing is registered, since nothing was named before fitting.
    """

    primary: str = "elastic_net"
    candidates: tuple[str, ...] = ()
    compete: bool = False
    l1_ratios: tuple[float, ...] = (0.2, 0.8)
    n_alphas: int = 20
    smallest_alpha_fraction: float = 0.05

    def __post_init__(self) -> None:
        is_sound = bool(self.l1_ratios) and all(0 < ratio <= 1 for ratio in self.l1_ratios)
        _require(is_sound, "[model] l1_ratios", "numbers in (0, 1]")
        _require(2 <= self.n_alphas <= MAX_ALPHAS, "[model] n_alphas", f"2 to {MAX_ALPHAS}")
        _require(0 < self.smallest_alpha_fraction < 1, "[model] smallest_alpha_fraction", "a number in (0, 1)")
        primary = (self.primary,) if self.primary else ()
        for key, names, known in (("primary", primary, PRIMARY_MODELS), ("candidates", self.candidates, MODELS)):
            for name in names:
                self._check_name(name, known, where=f"[model] {key}")
        is_enough = len(self.competitors) >= 2 or not self.is_competition
        _require(is_enough, "[model] candidates", "at least 2 models that compete to predict the outcome")

    @property
    def is_competition(self) -> bool:
        """Whether no model was named before fitting."""
        return self.compete or not self.primary

    @property
    def names(self) -> tuple[str, ...]:
        """Primary and candidates, every model once."""
        primary = (self.primary,) if self.primary else ()
        return tuple(dict.fromkeys((*primary, *self.candidates)))

    @property
    def competitors(self) -> tuple[str, ...]:
        """Models that predict the outcome itself, and so can be compared by their R2."""
        return tuple(name for name in self.names if name in REGRESSORS)

    @staticmethod
    def _check_name(name: str, known: tuple[str, ...], *, where: str) -> None:
        if name not in MODELS:
            raise ConfigError(f"there is no model {name!r}; known are {', '.join(MODELS)}.", where=where)
        if name not in known:
            raise ConfigError(
                f"{name} cannot be the primary model: a bundle holds weighted sums of inputs, or trees, "
                "of a continuous outcome.",
                where=where,
                remedy=f"Name it among the candidates, and one of {', '.join(PRIMARY_MODELS)} as primary.",
            )


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """How the models are judged.

    `leave_one_out` leaves out one group where [cohort] names groups; `leave_one_site_out` needs [covariates] site.
    `n_folds` serves the folds of the bundle's intervals under every scheme.
    """

    scheme: Scheme = "repeated_kfold"
    n_folds: int = 10
    n_repeats: int = 2
    inner_folds: InnerFolds = 5
    n_permutations: int = 99
    # Permutations of models without compiled code end once this many did as well as the truth; 0: all are drawn.
    permutations_stop_after: int = 10
    n_bootstrap_models: int = 100
    seed: int = 20210401

    def __post_init__(self) -> None:
        _require(self.n_folds >= 2, "[validation] n_folds", "2 or more")
        _require(self.n_repeats >= 1, "[validation] n_repeats", "1 or more")
        inner = self.inner_folds
        _require(inner == "leave_one_out" or inner >= 2, "[validation] inner_folds", "2 or more")
        _require(self.n_permutations >= 0, "[validation] n_permutations", "0 or more")
        _require(self.permutations_stop_after >= 0, "[validation] permutations_stop_after", "0 or more")
        _require(self.n_bootstrap_models >= 2, "[validation] n_bootstrap_models", "2 or more")
        _require(0 <= self.seed <= MAX_SEED, "[validation] seed", f"0 to {MAX_SEED}")


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """Under which name the primary is registered in MLflow, and where its log book is."""

    registered_model: str
    store: str = "mlruns"  # a folder, sqlite:///FILE, postgresql://HOST/DATABASE, or http(s)://HOST of a server
    artifacts: str = ""  # folder for files where the store is PostgreSQL; empty: mlruns/artifacts

    def __post_init__(self) -> None:
        _require_name(self.registered_model, "[tracking] registered_model", allowed=MODEL_NAME)
        _require(bool(self.store), "[tracking] store", KNOWN_STORES)
        store_address(self.store)  # refuses an address of another form


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """A whole experiment; `digest` is of the file as read, with what was set on the command line."""

    name: str
    cohort: CohortConfig
    outcome: OutcomeConfig
    tracking: TrackingConfig
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    covariates: CovariatesConfig = field(default_factory=CovariatesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    reference: ReferenceConfig | None = None  # None: no deviations
    harmonization: HarmonizationConfig | None = None  # None: features stay as measured
    multiverse: MultiverseConfig | None = None  # alternatives, for `krp multiverse` only
    report: ReportConfig = field(default_factory=ReportConfig)
    source: str = ""  # the file's text, then one comment line per value set on the command line

    def __post_init__(self) -> None:
        _require_name(self.name, "name", allowed=EXPERIMENT_NAME)
        if self.outcome.column and self.outcome.column in (*self.covariates.clinical, self.covariates.site):
            raise ConfigError(
                f"{self.outcome.column} is the outcome; a model cannot be given it.", where="[covariates]"
            )
        if self.validation.scheme == "leave_one_site_out" and not self.covariates.site:
            raise ConfigError("leave_one_site_out needs the column of the site.", where="[covariates] site")
        if self.harmonization and not self.covariates.site:
            raise ConfigError("harmonization needs the column of the site.", where="[covariates] site")
        if self.harmonization and self.reference:
            raise ConfigError(
                "harmonised features cannot be compared with controls, who are measured at their own sites.",
                where="[harmonization]",
                remedy="Leave [harmonization] out and name the site among [reference] covariates.",
            )
        if self.reference and self.model.primary in TREE_MODELS:
            raise ConfigError(
                f"{self.model.primary} cannot be the primary model beside [reference]: what trees make of a deviation "
                "cannot be told by the connections it is made from.",
                where="[model] primary",
                remedy=f"Leave [reference] out, or name {self.model.primary} among the candidates.",
            )
        if self.harmonization and self.outcome.column in self.harmonization.preserved:
            raise ConfigError(
                f"{self.outcome.column} is the outcome; features cannot be adjusted by it.",
                where="[harmonization] preserved",
            )
        if self.reference and self.reference.covariates and self.outcome.column in self.reference.covariates:
            raise ConfigError(
                f"{self.outcome.column} is the outcome; nothing can be judged by it.", where="[reference] covariates"
            )

    @property
    def digest(self) -> str:
        """Digest of what was read, "sha256:..."."""
        return "sha256:" + hashlib.sha256(self.source.encode()).hexdigest()


def read_experiment(path: Path, *, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file.

    Parameters
    ----------
    path
        TOML file.
    overrides
        `section.key=value` each, value in TOML (text may go without quotes); they win over the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, an entry is missing, unknown, or of the wrong type; the entry is named.
    """
    return build_experiment(*read_entries(path, overrides=overrides), where=path.name)


def read_entries(path: Path, *, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    """Return a file's entries, overrides applied, and its text with a comment line per override; see `read_experiment`.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"the experiment file cannot be read: {error.strerror}.", where=path.name, remedy="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("the experiment file is not UTF-8 text.", where=path.name) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the experiment file is not TOML: {error}.", where=path.name) from error
    for override in overrides:
        _apply_override(document, override)
    source = text + "".join(f"# --set {override}\n" for override in overrides)
    return document, source


def build_experiment(document: Mapping[str, Any], source: str, *, where: str = "") -> ExperimentConfig:
    """Return the experiment of a file's entries; `source` is what its digest is of.

    Raises
    ------
    ConfigError
        If an entry is missing, unknown, or of the wrong type; the entry is named.
    """
    if "source" in document:
        raise ConfigError("unknown entries: source.", where=where)
    # The file is logged and digested as it is kept: without the password of a store's address.
    return _build(ExperimentConfig, {**document, "source": without_credentials(source)}, where="")


def _apply_override(document: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    *sections, key = [part.strip() for part in name.split(".")]
    if not separator or not key or len(sections) > 1 or "" in sections or "\n" in override:
        raise ConfigError(f"expected section.key=value, got {override!r}.", where="--set")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    target = document.setdefault(sections[0], {}) if sections else document
    if not isinstance(target, dict):
        raise ConfigError(f"{sections[0]} is no section.", where="--set")
    target[key] = value


def _build(kind: type[Section], values: Mapping[str, Any], *, where: str) -> Section:
    """Record of `kind` from a TOML table; unknown, missing and mistyped entries are named."""
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    label = f"[{where}]" if where else "top level"
    unknown = sorted(set(values) - set(known))
    if unknown:
        offered = ", ".join(sorted(known.keys() - {"source"}))  # the text of the file is no entry of it
        raise ConfigError(f"unknown entries: {', '.join(unknown)}; known are {offered}.", where=label)
    missing = [n for n, f in known.items() if n not in values and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise ConfigError(f"missing entries: {', '.join(missing)}.", where=label)
    types = get_type_hints(kind)
    return kind(**{name: _convert(value, types[name], where=where, name=name) for name, value in values.items()})


def _convert(value: Any, kind: Any, *, where: str, name: str) -> Any:
    """Return the value in the type that the record declares."""
    place = f"[{where}] {name}" if where else name
    kind = next((one for one in get_args(kind) if hasattr(one, "__dataclass_fields__")), kind)  # an optional section
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        if not isinstance(value, dict):
            raise ConfigError(f"expected a section, got {value!r}.", where=place)
        return _build(kind, value, where=name)
    if not _fits(value, kind):
        raise ConfigError(f"expected {_in_words(kind)}, got {value!r}.", where=place)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return tuple(float(one) if item is float else one for one in value)
    return float(value) if kind is float else value


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    if origin is Literal:
        return value in get_args(kind) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(one, get_args(kind)[0]) for one in value)
    if origin is not None:  # Mapping
        return isinstance(value, dict)
    if kind in (int, float):
        is_number = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
        return is_number and abs(value) <= MAX_ABS_VALUE  # TOML knows nan and inf, which no setting can be
    return isinstance(value, kind)


def _in_words(kind: Any) -> str:
    """Return what a TOML author would call the type."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(option) for option in get_args(kind) if option is not NoneType)
    if origin is Literal:
        return " or ".join(repr(option) for option in get_args(kind))
    if origin is tuple:
        return f"a list of {_in_words(get_args(kind)[0])}"
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(kind, "a table")


def _require_name(name: str, place: str, *, allowed: re.Pattern[str]) -> None:
    """Refuse what MLflow does not take as a name, or what would leave the store's folder as part of a path."""
    is_met = allowed.fullmatch(name) is not None and len(name) <= MAX_NAME_LENGTH
    _require(is_met, place, f"letters, digits, spaces, - and _, at most {MAX_NAME_LENGTH}")


def _require(is_met: bool, place: str, expected: str) -> None:
    if not is_met:
        raise ConfigError(f"{place} is outside what is possible; expected {expected}.", where=place)
