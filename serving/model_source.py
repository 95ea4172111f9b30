"""Where models come from, and what is known of a version before and after it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from predictor.model.bundle import ModelBundle


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What a source offers at the moment."""

    version: str
    is_promoted: bool
    digest: str | None = None  # of the bundle that was registered; None when nobody wrote it down
    signature: str | None = None  # written beside the version by `krp sign`; a bundle may hold its own
    gate_passed_at: str | None = None  # UTC, ISO 8601; None: it never did


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A verified bundle, and what the source says about it."""

    bundle: ModelBundle
    version: ModelVersion
    loaded_at: str  # UTC, ISO 8601
    from_cache: bool = False  # the registry did not answer: it is the version that was served last

    @property
    def takes_scans(self) -> bool:
        """Whether the model's features can be computed from a scan; ready features and region tables cannot."""
        recipe = self.bundle.recipe
        return recipe is not None and recipe.circuit.has_coordinates

    @property
    def state(self) -> str:
        """How far the model is to be trusted: "promoted", "not-promoted", or "cached" while nobody can be asked."""
        if self.from_cache:
            return "cached"
        return "promoted" if self.version.is_promoted else "not-promoted"


@dataclass(frozen=True, slots=True, eq=False)
class ListedModel:
    """A version that the source knows, with what people compare models by."""

    name: str
    version: str
    digest: str | None
    aliases: tuple[str, ...] = ()
    status: str = "unknown"  # "verified", "registering", or "unknown" for versions of other makers
    gate: str | None = None  # "passed", "refused"; None: never asked
    gate_reasons: str = ""
    card: Mapping[str, Any] | None = field(default=None, repr=False)  # None: it cannot be read or was changed
    run_link: str | None = None  # only where the registry is a server that a browser can open
    is_current: bool = False  # it answers now
    from_cache: bool = False  # it answers although the registry does not


class ModelSource(Protocol):
    """Where models come from."""

    def find(self) -> ModelVersion:
        """Name the version to serve; raises ModelUnavailableError when there is none."""

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Return a bundle folder, written below `folder` where it has to be fetched."""

    def listed(self) -> Sequence[ListedModel]:
        """Return every version that there is, newest first."""


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """One bundle on this machine, without any registry."""

    folder: Path

    def find(self) -> ModelVersion:
        """Name the folder's only version; nobody promoted it."""
        return ModelVersion("bundle", is_promoted=False)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Return the folder itself."""
        return self.folder

    def listed(self) -> Sequence[ListedModel]:
        """Return nothing beyond the model that is loaded."""
        return ()
