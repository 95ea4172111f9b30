"""Which model answers, and what it takes."""

from __future__ import annotations

from fastapi import APIRouter, Request

from serving.dependencies import AppSettings, CurrentModel
from serving.model_store import ListedModel as KnownModel
from serving.model_store import LoadedModel, ModelStore
from serving.schemas import (
    CovariateField,
    FeatureField,
    ListedModel,
    ListedModels,
    ModelLimits,
    Outcome,
    problem_responses,
)
from serving.schemas import CurrentModel as CurrentModelDocument
from serving.settings import Settings

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=problem_responses(401, 429, 503))
def list_models(request: Request) -> ListedModels:
    """List the versions that the registry knows, newest first, with their cards."""
    models: ModelStore = request.app.state.models
    return ListedModels(models=[_listed(one) for one in models.listed()])


@router.get("/current", responses=problem_responses(401, 429, 503))
async def current_model(model: CurrentModel, settings: AppSettings) -> CurrentModelDocument:
    """Card, feature schema, outcome, digest and limits of the model that answers now."""
    return model_document(model, settings)


def _listed(model: KnownModel) -> ListedModel:
    fields = {name: getattr(model, name) for name in ListedModel.model_fields}
    return ListedModel.model_validate(
        fields | {"aliases": list(model.aliases), "card": None if model.card is None else dict(model.card)}
    )


def model_document(model: LoadedModel, settings: Settings) -> CurrentModelDocument:
    """Return what a program needs to know about a model."""
    bundle = model.bundle
    return CurrentModelDocument(
        name=bundle.name,
        version=model.version.version,
        digest=bundle.digest,
        promoted=model.version.is_promoted,
        loaded_at=model.loaded_at,
        from_cache=model.from_cache,
        outcome=Outcome.model_validate(bundle.outcome.document()),
        arms=list(bundle.arms),
        trained_on=bundle.trained_on,
        takes_scans=model.takes_scans,
        recipe_hashes=list(bundle.recipe_hashes),
        features=[FeatureField.model_validate(item, from_attributes=True) for item in bundle.definitions],
        covariates=[CovariateField.model_validate(item.document()) for item in bundle.covariates],
        card=dict(bundle.card),
        limits=ModelLimits.model_validate(settings, from_attributes=True),
    )
