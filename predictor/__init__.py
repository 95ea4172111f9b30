"""One visit of one person: scan -> features -> prediction -> explanation. Research use only.

What a notebook needs stands here by name; everything is loaded when it is first used, so that `import predictor` costs
nothing. In five lines::

    import predictor

    bundle = predictor.load_bundle("bundle")
    session = predictor.read_session("derivatives/fmriprep/sub-01", recipe=bundle.recipe, bids_dir="raw")
    features = predictor.extract_features(session, bundle.recipe).to_frame()
    predictor.score_session(session, bundle, covariates={"caps5_total_baseline": 42})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictor.circuit.circuit import Circuit, load_circuit
    from predictor.errors import PredictorError
    from predictor.features.extraction import extract_features, session_quality
    from predictor.features.feature_vector import FeatureVector
    from predictor.features.recipe import Recipe, default_recipe
    from predictor.model.bundle import ModelBundle, load_bundle
    from predictor.scan.quality import QualityReport
    from predictor.scan.session import BaselineSession
    from predictor.scan.visit_files import find_visits
    from predictor.scored_visit import ScoredVisit, score_session
    from predictor.visit_folder import read_session
else:
    # Hidden from type checkers, to which it would mean that every name exists.
    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_HOME[name]), name)
        globals()[name] = found  # the next use is an ordinary one
        return found


__all__ = [
    "BaselineSession",
    "Circuit",
    "FeatureVector",
    "ModelBundle",
    "PredictorError",
    "QualityReport",
    "Recipe",
    "ScoredVisit",
    "default_recipe",
    "extract_features",
    "find_visits",
    "load_bundle",
    "load_circuit",
    "read_session",
    "score_session",
    "session_quality",
]

# Where a name lives; type checkers read the same from the imports above, and a test holds both equal.
_HOME = {
    "BaselineSession": "predictor.scan.session",
    "Circuit": "predictor.circuit.circuit",
    "FeatureVector": "predictor.features.feature_vector",
    "ModelBundle": "predictor.model.bundle",
    "PredictorError": "predictor.errors",
    "QualityReport": "predictor.scan.quality",
    "Recipe": "predictor.features.recipe",
    "ScoredVisit": "predictor.scored_visit",
    "default_recipe": "predictor.features.recipe",
    "extract_features": "predictor.features.extraction",
    "find_visits": "predictor.scan.visit_files",
    "load_bundle": "predictor.model.bundle",
    "load_circuit": "predictor.circuit.circuit",
    "read_session": "predictor.visit_folder",
    "score_session": "predictor.scored_visit",
    "session_quality": "predictor.features.extraction",
}


def __dir__() -> list[str]:
    return list(__all__)
