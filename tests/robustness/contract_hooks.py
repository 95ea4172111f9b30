"""What an OpenAPI document cannot say of a valid request; schemathesis loads this file (SCHEMATHESIS_HOOKS).

Only requests that schemathesis means to be valid are finished here: scans and tables get the content of scans and
tables, tensors lengths that agree. Requests that are meant to be wrong are sent as they were made.
"""

from __future__ import annotations

import gzip
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Finish a request that is meant to be valid."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return
    if case.operation.path == "/v1/scans":
        case.body = visit_of(case.body)
    elif case.operation.path.endswith("/infer"):
        case.body = tensors_of(case.body, case.operation.schema.raw_schema)
    # Else schemathesis judges again what it made itself, and takes the text of `keep=false` for no boolean.
    case._record_starting_state()


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
