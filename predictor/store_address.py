"""Where a log book is: a folder, a database or a server, with its credentials kept out of everything that is written.

Passwords are moved from the address into the variables of this process that the PostgreSQL driver and MLflow's client
read anyway. What is left of the address can stand in messages, tags and tracebacks.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from predictor.errors import UsageError

DATABASE = "mlflow.db"
DEFAULT_STORE = "mlruns"
ARTIFACTS = "artifacts"
KNOWN = "a folder, sqlite:///FILE, postgresql://HOST/DATABASE, or http(s)://HOST of a tracking server"
POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg\d?)?")
# What stands before the host (rather too much than too little), and what a query may say instead.
_CREDENTIALS = re.compile(r"""(?<=://)(?:[^\s/@:'"]+:[^\s'"]*|[^\s/'"]*)@|(?<=[?&]password=)[^\s&'"]+""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """An MLflow store, by the address that MLflow takes.

    `artifacts` is the folder in which new experiments keep their files; None where a server decides.
    """

    uri: str  # without credentials
    folder: Path | None  # that holds the database; None: a database or tracking server of its own
    artifacts: Path | None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # variables of the environment -> value

    @property
    def is_server(self) -> bool:
        """Whether it is a tracking server, which keeps files too."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def database(self) -> Path | None:
        """Return the file of an SQLite database, None for another kind of store."""
        return Path(unquote(urlsplit(self.uri).path)[1:]) if self.uri.startswith("sqlite:") else None

    @property
    def shown(self) -> str:
        """Name for people: the folder's last part, or the address without credentials and options."""
        if self.folder is not None:
            return self.folder.name or str(self.folder)
        parts = urlsplit(self.uri)
        return f"{parts.scheme.partition('+')[0]}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def unlock(self) -> None:
        """Hand the credentials to the driver and to MLflow's client, through this process's environment."""
        os.environ.update(self.secrets)


def store_address(where: str | Path, *, artifacts: str | Path | None = None) -> StoreAddress:
    """Understand what a person wrote as `[tracking] store` or `--store`.

    Parameters
    ----------
    where
        A folder, or an address with `://`.
    artifacts
        Folder for the files of new experiments where the store is a database of its own (mlruns/artifacts).

    Raises
    ------
    UsageError
        If the address has no form that is known.

    Examples
    --------
    >>> store_address("postgresql://ada:secret@db.example/mlflow").uri
    'postgresql+psycopg://ada@db.example/mlflow'
    >>> without_credentials("postgresql://ada:secret@db.example/mlflow")
    'postgresql://***@db.example/mlflow'
    """
    text = str(where)
    if "://" not in text and not text.startswith("sqlite:"):
        return _in_folder(Path(text))
    scheme = urlsplit(text).scheme.lower()
    if scheme == "sqlite":
        return _sqlite_file(text)
    if POSTGRESQL.fullmatch(scheme):
        place = Path(artifacts) if artifacts else Path(DEFAULT_STORE) / ARTIFACTS
        return _postgresql(text, place)
    if scheme in ("http", "https"):
        return _server(text)
    raise UsageError(f"expected {KNOWN}, found an address that starts with {scheme}://.", where="--store")


def add_store(
    parser: argparse.ArgumentParser, *, default: str | None = DEFAULT_STORE, otherwise: str = DEFAULT_STORE
) -> None:
    """Add the option that names the log book to a command.

    Parameters
    ----------
    default, otherwise
        The store without the option, and how the help calls it.
    """
    known = f"MLflow store: {KNOWN} (default: {otherwise})"
    parser.add_argument("--store", default=default, metavar="STORE", help=known)


def without_credentials(text: str) -> str:
    """Return a text in which every address has lost its user and password."""
    return _CREDENTIALS.sub(lambda found: "***@" if found[0].endswith("@") else "***", text)


def _in_folder(folder: Path) -> StoreAddress:
    return StoreAddress(f"sqlite:///{(folder / DATABASE).resolve().as_posix()}", folder, folder / ARTIFACTS)


def _sqlite_file(text: str) -> StoreAddress:
    path = unquote(urlsplit(text).path)[1:]
    if not text.startswith("sqlite:///") or not path or path == ":memory:":
        raise UsageError("expected sqlite:/// and the path of a file.", where="--store")
    file = Path(path).resolve()
    return StoreAddress(f"sqlite:///{file.as_posix()}", file.parent, file.parent / ARTIFACTS)


def _postgresql(text: str, artifacts: Path) -> StoreAddress:
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query))
    password = options.pop("password", None) or (unquote(parts.password) if parts.password else None)
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.netloc.rpartition('@')[0].partition(':')[0]}@{place}" if parts.username else place
    uri = urlunsplit(("postgresql+psycopg", netloc, parts.path, urlencode(options), ""))
    return StoreAddress(uri, None, artifacts, {"PGPASSWORD": password} if password else {})


def _server(text: str) -> StoreAddress:
    parts = urlsplit(text)
    known = {"MLFLOW_TRACKING_USERNAME": parts.username, "MLFLOW_TRACKING_PASSWORD": parts.password}
    secrets = {name: unquote(value) for name, value in known.items() if value}
    uri = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    return StoreAddress(uri, None, None, secrets)
