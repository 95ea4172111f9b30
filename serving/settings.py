"""How this service is deployed: environment variables with the prefix KRP_, overridden by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "::1"),
        description="Host headers that are answered; keeps foreign pages from reaching a loopback service by DNS.",
    )

    sample_visit_dir: Path | None = Field(
        default=None, description="One participant's folder in an fMRIPrep output, offered as the sample visit."
    )

    max_json_bytes: int = Field(default=16 * MEBIBYTE, gt=0, description="Largest body of /v1/predictions.")
    max_rows: int = Field(default=5_000, gt=0, description="Most rows in one request.")
    max_upload_bytes: int = Field(default=4096 * MEBIBYTE, gt=0, description="Largest body of /v1/scans.")
    max_table_bytes: int = Field(
        default=32 * MEBIBYTE, gt=0, description="Largest confounds table, side-car or events table; held in memory."
    )

    results_kept: int = Field(default=100, gt=0, description="Results of the page held in memory, never on disk.")
    results_kept_minutes: float = Field(default=60.0, gt=0, description="How long the page's results are held.")


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
