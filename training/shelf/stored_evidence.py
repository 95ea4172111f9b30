"""What the store itself says about an experiment: read back for the promotion gate, not taken from a model's word."""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from predictor.errors import RunDeletedError, TrackingError
from training.config import ModelConfig
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import Store

EXPERIMENT_FILE = "experiment.toml"
OVERRIDE = "# --set model."
# Runs' times are whole milliseconds; what was written in the same one cannot be put in order.
SAME_TIME_S = 0.002


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """The run of an experiment as it stands in the store."""

    config_digest: str | None = None  # of the experiment file that was logged; None: it is not there
    named_primary: str | None = None  # in that file; None: it names none, or cannot be read
    tags: Mapping[str, str] = field(default_factory=dict)  # of the run
    started_at_s: float | None = None  # Unix time
    models_started_at_s: Mapping[str, float] = field(default_factory=dict)  # runs of the models, by name
    roles: Mapping[str, str] = field(default_factory=dict)  # of the models, by name

    def objections(self, model: str, *, config_digest: str, named_at_s: float, fitting_at_s: float) -> list[str]:
        """Return what speaks against "this model was named primary before anything was fitted"; nothing if it was.

        Parameters
        ----------
        model
            The model of the bundle.
        config_digest
            Of the experiment, as the registered version tells it.
        named_at_s, fitting_at_s
            When the experiment was logged and fitting began, as training measured it (Unix time, s).
        """
        began = self.started_at_s
        early = [name for name, at in self.models_started_at_s.items() if at < named_at_s - SAME_TIME_S]
        first = [name for name, role in self.roles.items() if role == "primary"]
        said = {
            "the experiment file is not in the store": self.config_digest is None,
            "the stored experiment file is not the one that was registered": (
                self.config_digest is not None and self.config_digest != config_digest
            ),
            "the run was started for another experiment file": self.tags.get("config_digest") != config_digest,
            f"the stored experiment file names {self.named_primary or 'no model'}": self.named_primary != model,
            "the run is marked with another primary model": self.tags.get("primary") != model,
            "another model's run has the role of the primary": first != [model],
            "the run began after the model was named": began is None or began > named_at_s + SAME_TIME_S,
            "fitting began before the model was named": fitting_at_s < named_at_s,
            f"runs of models are older than the experiment file: {', '.join(early)}": bool(early),
        }
        return [text for text, is_so in said.items() if is_so]


def read_evidence(store: Store, run_id: str) -> StoredEvidence:
    """Read the run that a version was registered from, its experiment file, and the runs of its models.

    Raises
    ------
    RunDeletedError
        If the run is no longer there.
    TrackingError
        If the store does not answer.
    """
    with in_our_words("read the experiment's run"):
        run = store.client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise RunDeletedError("the run that this version was registered from was deleted.")
        below = f"tags.mlflow.parentRunId = '{run_id}'"
        models = store.client.search_runs([run.info.experiment_id], below, max_results=1000)
    content = _experiment_file(store, run_id)
    return StoredEvidence(
        config_digest=None if content is None else "sha256:" + hashlib.sha256(content).hexdigest(),
        named_primary=None if content is None else primary_named_in(content),
        tags=run.data.tags,
        started_at_s=run.info.start_time / 1000,
        models_started_at_s={one.info.run_name: one.info.start_time / 1000 for one in models},
        roles={one.info.run_name: one.data.tags.get("role", "") for one in models},
    )


def primary_named_in(content: bytes) -> str | None:
    r"""Return the primary model of an experiment file, with what was set on the command line; None if models compete.

    Examples
    --------
    >>> primary_named_in(b'name = "trial"')
    'elastic_net'
    >>> primary_named_in(b'[model]\nprimary = "ridge"\n# --set model.primary=lasso')
    'lasso'
    """
    try:
        text = content.decode()
        section = tomllib.loads(text).get("model", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    values: dict[str, object] = {"primary": ModelConfig().primary, "compete": False}
    values |= {name: section[name] for name in values if name in section}
    values |= _set_on_the_command_line(text.splitlines(), values)
    named, competes = str(values["primary"]).strip("\"' "), str(values["compete"]).lower() == "true"
    return None if competes or not named else named


def _set_on_the_command_line(lines: Sequence[str], known: Mapping[str, object]) -> dict[str, object]:
    pairs = (line.removeprefix(OVERRIDE).partition("=") for line in lines if line.startswith(OVERRIDE))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip() in known}


def _experiment_file(store: Store, run_id: str) -> bytes | None:
    with tempfile.TemporaryDirectory(prefix="krp-read-") as folder:
        try:
            with in_our_words("read the experiment file"):
                return Path(store.client.download_artifacts(run_id, EXPERIMENT_FILE, folder)).read_bytes()
        except TrackingError:
            return None
