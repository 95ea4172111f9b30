"""How soon a scan's answer comes, and how much memory an upload takes, through a real `krp serve`.

`python tests/benchmarks/bench_scan_upload.py` writes synthetic resting runs (97 x 115 x 97 int16 `.nii.gz` on the 2 mm
MNI grid, brain noise and zeros outside, confounds as wide as fMRIPrep's), trains a small linear model that needs a
resting run only, starts the service, and measures by turns

- bare ISA-L inflation of the file in a fresh process, output thrown away,
- an upload that sends 40 MB/s: seconds from its last byte to the whole answer,
- an upload as fast as the service takes it: seconds from its first byte to the whole answer,

then the peak of the service's resident memory above what it had before, for runs of half and of double length and for
two uploads at once. It prints what was asked beside what was measured, or with --json a document. The exit code is 1
when a target is missed.
"""

from __future__ import annotations

import argparse
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
from bench_extraction import inflate, write_scan
from bench_visit import confounds_table
from fresh_process import measure, measure_in_turns, say
from made_up_bundle import COVARIATE_VALUES, save_made_up_bundle
from service_process import ServiceProcess, serve

SHAPE = (97, 115, 97)
N_VOLUMES = 240
SHORT_VOLUMES, LONG_VOLUMES = 120, 480
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
    scan = folder / f"rest_{n_volumes}.nii.gz"
    write_scan(scan, n_volumes=n_volumes, shape=SHAPE)
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


def run(folder: Path, *, n_rounds: int, n_volumes: int) -> dict[str, Any]:
    """Measure everything."""
    scan = write_run(folder, n_volumes)
    body = form_of(scan)
    bundle = folder / "bundle"
    save_made_up_bundle(bundle, rest_only=True)
    with serve(bundle, folder) as service:
        at_start_mb, _ = service.memory_mb()
        first = send(service.port, body)
        rounds = [
            (
                inflate_in_process(scan, n_rounds=1),
                send(service.port, body, bytes_per_s=SEND_BYTES_PER_S),
                send(service.port, body),
            )
            for _ in range(n_rounds)
        ]
        idle_mb, _ = service.memory_mb()
        growth = {str(n_volumes): peak_growth_mb(service, [body])}
        for other in (SHORT_VOLUMES, LONG_VOLUMES):
            growth[str(other)] = peak_growth_mb(service, [form_of(write_run(folder, other))])
        growth["two at once"] = peak_growth_mb(service, [body, body]) / 2
        ready_s = service.seconds_to_ready
    inflation_s = statistics.median(one for one, _, _ in rounds)
    return {
        "scan": {"shape": [*SHAPE, n_volumes], "compressed_mb": scan.stat().st_size / 1e6},
        "rounds": n_rounds,
        "answer_status": first.status,
        "start_to_ready_s": ready_s,
        "inflation_s": inflation_s,
        "first_upload_s": first.total_s,
        "first_upload_after_last_byte_s": first.after_last_byte_s,
        "after_last_byte_at_40_mb_per_s_s": statistics.median(slow.after_last_byte_s for _, slow, _ in rounds),
        "full_speed_s": statistics.median(fast.total_s for _, _, fast in rounds),
        "full_speed_allowed_s": MAX_TIME_RATIO * inflation_s + MAX_EXTRA_S,
        "memory_at_start_mb": at_start_mb,
        "memory_idle_mb": idle_mb,
        "memory_growth_per_upload_mb": growth,
    }


def targets(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return what was asked and what was measured: name, at most, found."""
    return [
        ("s after the last byte, 40 MB/s", MAX_AFTER_LAST_BYTE_S, found["after_last_byte_at_40_mb_per_s_s"]),
        ("s in all, full speed", found["full_speed_allowed_s"], found["full_speed_s"]),
        *(
            (f"MB above idle, {name}", MAX_MEMORY_MB, growth)
            for name, growth in found["memory_growth_per_upload_mb"].items()
        ),
    ]


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="uploads of each kind, by turns (default 5)")
    parser.add_argument("--volumes", type=int, default=N_VOLUMES, help=f"length of the run (default {N_VOLUMES})")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--measure", choices=["inflate"], help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        say(json.dumps(measure(inflate(arguments.source))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), n_rounds=arguments.rounds, n_volumes=arguments.volumes)
    found["targets"] = [
        {"what": what, "at_most": limit, "found": value, "met": value <= limit} for what, limit, value in targets(found)
    ]
    say(json.dumps(found, indent=2) if arguments.json else _table(found))
    return 0 if all(target["met"] for target in found["targets"]) else 1


def _status(reply: bytes) -> str:
    head, _, content = reply.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise SystemExit(f"the upload was answered {reply[:600]!r}")
    return str(json.loads(content)["answer"]["status"])


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':36}{'asked':>10}{'measured':>10}{'ratio':>8}"]
    for target in found["targets"]:
        verdict = "met" if target["met"] else "MISSED"
        ratio = target["found"] / target["at_most"]
        lines.append(f"{target['what']:36}{target['at_most']:>10.2f}{target['found']:>10.2f}{ratio:>8.2f}  {verdict}")
    lines.append(
        f"bare inflation {found['inflation_s']:.2f} s; first upload after start {found['first_upload_s']:.2f} s; "
        f"resident {found['memory_at_start_mb']:.0f} MB when ready, {found['memory_idle_mb']:.0f} MB between uploads"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
