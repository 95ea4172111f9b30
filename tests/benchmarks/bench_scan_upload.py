"""How soon a scan's answer comes, and how much memory an upload takes, through a real `krp serve`.

`python tests/benchmarks/bench_scan_upload.py` writes synthetic resting runs (99 x 117 x 95 int16 `.nii.gz` on the 2 mm
MNI grid, brain noise and zeros outside, confounds as wide as fMRIPrep's), trains a small linear model that needs a
resting run only, starts the service, and measures by turns

- bare ISA-L inflation of the file in a fresh process, output thrown away,
- an upload that sends 40 MB/s: seconds from its last byte to the whole answer,
- an upload as fast as the service takes it: seconds from its first byte to the whole answer,

then the peak of the service's resident memory above what it had before, for runs of half and of double length and for
two uploads at once. Asked: 0.4 s after the last byte at 40 MB/s, 1.6 times inflation plus 0.4 s in all at full speed,
and 60 MB above idle, however long the run is.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from bench_extraction import inflate
from fresh_process import measure_in_turns, measured_here
from made_up_bundle import COVARIATE_VALUES, save_made_up_bundle
from measurement import Measurement, conclude, parser_of
from service_process import ServiceProcess, serve
from synthetic_scans import confounds_table, data_folder, scan_of

N_VOLUMES, N_QUICK_VOLUMES = 240, 80
GROUP = "The service: one scan"
SEND_BYTES_PER_S = 40e6
PIECE_BYTES = 64 * 1024
MAX_AFTER_LAST_BYTE_S = 0.4
MAX_TIME_RATIO, MAX_EXTRA_S = 1.6, 0.4
MAX_MEMORY_MB = 60.0
LINE = b"a-line-that-no-scan-holds"
FILE_NAME = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"


@dataclass(frozen=True)
class Sent:
    """How one upload went."""

    total_s: float  # from the first byte of the head to the last of the answer
    after_last_byte_s: float
    status: str  # of the answer


def write_run(folder: Path, n_volumes: int) -> Path:
    """Write a run and its confounds table; return the scan's path."""
    scan = scan_of(folder, n_volumes)
    scan.with_suffix(".tsv").write_text(confounds_table(np.random.default_rng(0), n_volumes))
    return scan


def form_of(scan: Path) -> bytes:
    """Return the body of a request that sends a run."""
    parts = {
        "covariates": ("covariates.json", json.dumps(COVARIATE_VALUES).encode()),
        "rest_sidecar": ("sidecar.json", b'{"RepetitionTime": 2.0}'),
        "rest_confounds": ("confounds.tsv", scan.with_suffix(".tsv").read_bytes()),
        "rest": (FILE_NAME, scan.read_bytes()),
    }
    heads = {
        name: f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        for name, (file, _) in parts.items()
    }
    body = b"".join(b"--" + LINE + b"\r\n" + heads[name] + parts[name][1] + b"\r\n" for name in parts)
    return body + b"--" + LINE + b"--\r\n"


def send(port: int, body: bytes, *, bytes_per_s: float | None = None) -> Sent:
    """Send one visit, evenly at the given rate or as fast as it is taken, and wait for the answer."""
    head = (
        f"POST /v1/scans HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={LINE.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        begin = time.perf_counter()
        connection.sendall(head.encode())
        for start in range(0, len(body), PIECE_BYTES):
            if bytes_per_s is not None:
                time.sleep(max(0.0, begin + start / bytes_per_s - time.perf_counter()))
            connection.sendall(body[start : start + PIECE_BYTES])
        last_byte = time.perf_counter()
        reply = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        end = time.perf_counter()
    return Sent(end - begin, end - last_byte, _status(reply))


def inflate_in_process(path: Path, *, n_rounds: int) -> float:
    """Return the median seconds of bare inflation in fresh processes."""
    return measure_in_turns(__file__, path, ["inflate"], n_rounds=n_rounds)["inflate"]["seconds"]


def peak_growth_mb(service: ServiceProcess, bodies: list[bytes]) -> float:
    """Return by how much resident memory rose at its peak while these were uploaded at once."""
    time.sleep(0.3)
    service.forget_peak_memory()
    before, _ = service.memory_mb()
    with ThreadPoolExecutor(len(bodies)) as pool:
        list(pool.map(lambda body: send(service.port, body), bodies))
    return service.memory_mb()[1] - before


def run(folder: Path, scans: Path, *, n_rounds: int, n_volumes: int) -> dict[str, Any]:
    """Measure everything."""
    scan = write_run(scans, n_volumes)
    body = form_of(scan)
    bundle = folder / "bundle"
    save_made_up_bundle(bundle, rest_only=True)
    with serve(bundle, folder) as service:
        first = send(service.port, body)
        rounds = [
            (
                inflate_in_process(scan, n_rounds=1),
                send(service.port, body, bytes_per_s=SEND_BYTES_PER_S),
                send(service.port, body),
            )
            for _ in range(n_rounds)
        ]
        growth = {f"{n_volumes} volumes": peak_growth_mb(service, [body])}
        for other in (n_volumes // 2, n_volumes * 2):
            growth[f"{other} volumes"] = peak_growth_mb(service, [form_of(write_run(scans, other))])
        growth["each of two at once"] = peak_growth_mb(service, [body, body]) / 2
        idle_mb, _ = service.memory_mb()
    return {
        "size_mb": scan.stat().st_size / 1e6,
        "first_s": first.total_s,
        "inflation_s": statistics.median(one for one, _, _ in rounds),
        "after_last_byte_s": statistics.median(slow.after_last_byte_s for _, slow, _ in rounds),
        "full_speed_s": statistics.median(fast.total_s for _, _, fast in rounds),
        "idle_mb": idle_mb,
        "growth_mb": growth,
    }


def measurements(found: dict[str, Any], *, n_rounds: int, n_volumes: int) -> list[Measurement]:
    """Return what was asked beside what was measured."""
    run_in_words = f"rest of {n_volumes} volumes, 2 mm, {found['size_mb']:.0f} MB; median of {n_rounds}"
    return [
        Measurement(
            GROUP, "answer after the last byte, sent at 40 MB/s", "s", found["after_last_byte_s"],
            at_most=MAX_AFTER_LAST_BYTE_S, detail=run_in_words,
        ),
        Measurement(
            GROUP, "first byte to answer, as fast as it is taken", "s", found["full_speed_s"], found["inflation_s"],
            "bare ISA-L inflation", at_most=MAX_TIME_RATIO * found["inflation_s"] + MAX_EXTRA_S,
            detail=f"asked: at most {MAX_TIME_RATIO} × inflation + {MAX_EXTRA_S} s; first upload after the start "
            f"{found['first_s']:.2f} s",
        ),
        *(
            Measurement(GROUP, f"memory above idle, {name}", "MB", growth, at_most=MAX_MEMORY_MB)
            for name, growth in found["growth_mb"].items()
        ),
        Measurement(GROUP, "memory of the service between uploads", "MB", found["idle_mb"]),
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    if measured_here({"inflate": inflate}):
        return 0
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="uploads of each kind, by turns (5; quick 1)")
    parser.add_argument("--volumes", type=int, help=f"length of the run ({N_VOLUMES}; quick {N_QUICK_VOLUMES})")
    arguments = parser.parse_args()
    size = {
        "n_rounds": arguments.rounds or (1 if arguments.quick else 5),
        "n_volumes": arguments.volumes or (N_QUICK_VOLUMES if arguments.quick else N_VOLUMES),
    }
    with data_folder() as scans, tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), scans, **size)
    return conclude(measurements(found, **size), as_json=arguments.json)


def _status(reply: bytes) -> str:
    head, _, content = reply.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise SystemExit(f"the upload was answered {reply[:600]!r}")
    return str(json.loads(content)["answer"]["status"])


if __name__ == "__main__":
    raise SystemExit(main())
