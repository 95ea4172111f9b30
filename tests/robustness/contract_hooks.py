"""What an OpenAPI document cannot say of a valid request; schemathesis loads this file (SCHEMATHESIS_HOOKS).

Only requests that schemathesis means to be valid are finished here: scans and tables get the content of scans and
tables, tensors lengths that agree, addresses of results the id of one that was just kept. Requests that are meant to be
wrong are sent as they were made.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import sys
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import schemathesis
from schemathesis import GenerationMode

MAX_TENSOR_ROWS = 3
# Later runs need all before them; sent as this one, they keep a request short.
LAST_RUN = 2


def _load(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_HERE = Path(__file__).parent
_MUTATIONS = _load("mutated_inputs", _HERE / "mutated_inputs.py")
_SCAN = gzip.compress(_MUTATIONS.sound_scan(), 1)
_ROWS = "".join(f"{0.1 + 0.01 * row}\t{0.02 * row % 0.07}\n" for row in range(_MUTATIONS.N_VOLUMES))
_TABLES = {
    "confounds": f"framewise_displacement\ttrans_x\n{_ROWS}".encode(),
    "confounds_sidecar": b"{}",
    "sidecar": b'{"RepetitionTime": 2.0}',
}
_EVENTS = {
    "faces": b"onset\tduration\ttrial_type\n1\t2\tfaces\n5\t2\tshapes\n",
    "conflict": b"onset\tduration\ttrial_type\n1\t2\tcongruent\n5\t2\tincongruent\n",
}
KINDS = ("rest", "faces", "conflict")
_FURTHER = re.compile(r"_\d+")
FEATURE_VALUE = 0.2
# Of results that are asked for: three were scored from features, the fourth is a visit that is too short to be scored.
VISIT_EVERY = 4
_ASKED_FOR = count(1)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Finish a request that is meant to be valid."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if "result_id" in case.path_parameters:
        case.path_parameters["result_id"] = kept_result(case.operation.base_url, next(_ASKED_FOR))
    elif not isinstance(case.body, dict):
        return
    elif case.operation.path == "/v1/scans":
        case.body = visit_of(case.body)
    elif case.operation.path.endswith("/infer"):
        case.body = tensors_of(case.body, case.operation.schema.raw_schema)
    # Else schemathesis judges again what it made itself, and takes the text of `keep=false` for no boolean.
    case._record_starting_state()


def kept_result(url: str, number: int) -> str:
    """Keep one more result and return its id: whoever asks may be about to delete it, or all."""
    client = _client(url)
    if number % VISIT_EVERY == 0:
        name = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
        reply = client.post("/v1/scans?keep=true", files={"rest": (name, _SCAN)})
    else:
        reply = client.post("/v1/predictions?keep=true", json={"rows": [{"features": _features(url)}]})
    document = reply.raise_for_status().json()
    return str((document["predictions"][0] if "predictions" in document else document)["id"])


@cache
def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False)


@cache
def _features(url: str) -> dict[str, float]:
    model = json.loads(_client(url).get("/v1/models/current").content)
    return {item["name"]: FEATURE_VALUE for item in model["features"]}


def visit_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the form with scans and tables in its parts, and the earlier runs that later ones need."""
    names = [_FURTHER.sub(f"_{LAST_RUN}", name) for name in body if name != "covariates"]
    wanted = {name: _run_of(name) for name in names} or {"rest": ("rest", 1)}
    finished = {name: value for name, value in body.items() if name == "covariates"}
    for kind in KINDS:
        last = max((number for of_kind, number in wanted.values() if of_kind == kind), default=0)
        for number in range(1, last + 1):
            finished[kind if number == 1 else f"{kind}_{number}"] = _SCAN
    for name, (kind, _) in wanted.items():
        if name not in finished:
            table = next(one for one in ("confounds_sidecar", "confounds", "sidecar", "events") if name.endswith(one))
            finished[name] = _EVENTS.get(kind, b"") if table == "events" else _TABLES[table]
    return finished


def _run_of(name: str) -> tuple[str, int]:
    kind, _, rest = name.partition("_")
    number = rest.partition("_")[0]
    return kind, int(number) if number.isdigit() else 1


def tensors_of(body: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return the request with each of the model's names once, and data as long as their shapes say."""
    path = document["paths"]["/v2/models/{name}/infer"]["post"]
    schema = path["requestBody"]["content"]["application/json"]["schema"]
    names = schema["properties"]["inputs"]["items"]["properties"]["name"]["enum"]
    n_rows = min(MAX_TENSOR_ROWS, len(body["inputs"][0]["data"]))
    inputs = []
    for tensor, name in zip(body["inputs"], names, strict=False):
        shape = [n_rows] if len(tensor["shape"]) == 1 else [n_rows, 1]
        is_number = name not in ("site", "recipe_hash")
        content = {"datatype": "FP64" if is_number else "BYTES", "data": [0.1 if is_number else "A"] * n_rows}
        inputs.append({**tensor, "name": name, "shape": shape, **content})
    return {**body, "inputs": inputs}
