"""How this service is deployed: environment variables with the prefix KRP_, overridden by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from predictor.errors import UsageError

MEBIBYTE = 1024 * 1024


class Settings(BaseSettings):
    """Deployment settings; science stands in the bundle, not here."""

    model_config = SettingsConfigDict(env_prefix="KRP_", frozen=True)

    bundle: Path | None = Field(default=None, description="Serve this bundle folder instead of the registry.")
    model: str = Field(
        default="models:/ketamine-response@champion",
        description="Registry address of the model; without a champion the alias `candidate` is served, so labelled.",
    )
    tracking_uri: str = Field(default="sqlite:///mlruns/mlflow.db", description="Where the MLflow registry is.")
    refresh_s: float = Field(default=30.0, ge=0, description="Seconds between looks at the registry; 0 never looks.")
    model_cache: Path | None = Field(
        default=Path("mlruns/served"),
        description="Folder for the last verified bundle of a registry, served while the registry is not there.",
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "::1"),
        description="Host headers that are answered; keeps foreign pages from reaching a loopback service by DNS.",
    )

    sample_visit_dir: Path | None = Field(
        default=None, description="One participant's folder in an fMRIPrep output, offered as the sample visit."
    )

    max_json_bytes: int = Field(
        default=16 * MEBIBYTE, gt=0, description="Largest body of features or tensors, and largest feature table."
    )
    max_rows: int = Field(default=5_000, gt=0, description="Most rows in one request.")
    max_upload_bytes: int = Field(default=4096 * MEBIBYTE, gt=0, description="Largest body of /v1/scans.")
    max_table_bytes: int = Field(
        default=32 * MEBIBYTE,
        gt=0,
        description="Largest table or side-car, held in memory; all of a visit may have four times as much.",
    )

    database_url: str = Field(
        default="sqlite:///mlruns/service.db",
        description="Kept results, access keys and audit log: sqlite:///FILE or postgresql://...",
    )
    results_kept_hours: float = Field(
        default=24.0, gt=0, le=87_600, description="After this time a kept result is deleted."
    )
    max_results_per_owner: int = Field(default=1_000, gt=0, description="Beyond it, the owner's oldest results go.")

    require_keys: bool = Field(
        default=False, description="Turn away who has no key, also on loopback and before the first key exists."
    )
    oidc_issuer: str | None = Field(default=None, description="Address of the OpenID provider whose tokens are taken.")
    oidc_audience: str | None = Field(default=None, description="Audience that the provider's tokens must name.")
    requests_per_minute: int = Field(default=6_000, gt=0, description="Of one key or token; unlimited without keys.")
    scans_per_minute: int = Field(default=30, gt=0, description="Visits of one key or token; unlimited without keys.")

    bundle_public_key: Path | None = Field(
        default=None, description="Ed25519 public key (PEM); bundles without its signature are refused."
    )
    model_history: Path | None = Field(
        default=None, description="File of all models served here; with it, an older one than the last is refused."
    )

    # One processor answers one at a time: 32 keep it busy, and whoever is let in waits for at most 31 others.
    max_requests_at_once: int = Field(default=32, gt=0, description="More are answered 503 with Retry-After.")
    max_uploads_at_once: int = Field(default=4, gt=0, description="Visits read at once; more are answered 503.")
    upload_idle_s: float = Field(default=20.0, gt=0, description="An upload that sends nothing for so long is ended.")
    shutdown_s: float = Field(default=30.0, gt=0, description="How long answers under way may take after a stop.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def read_settings(**given: Any) -> Settings:
    """Return the settings of the environment, overruled by those that are given by name.

    Raises
    ------
    UsageError
        If one of them is not what it should be.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        name = str(fault["loc"][0])
        raise UsageError(f"{fault['msg']}.", where=f"--{name.replace('_', '-')} or KRP_{name.upper()}") from error
    except SettingsError as error:
        raise UsageError("a setting of the environment (KRP_...) cannot be read; lists are JSON.") from error
