"""The service as the compose file runs it: not root, no capability, a read-only root file system, /data and /tmp only.

Needs Linux, root (to become somebody else), unshare, mount and setpriv; skipped elsewhere. Nothing changes outside the
mount namespace of the process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

USER = 10001  # of the Dockerfile
PROJECT = Path(__file__).resolve().parents[2]
# Arguments: data folder, folder of this machine's Python, then the command. All mounts but three become read-only.
NAMESPACE = """
set -eu
data=$1; python=$2; shift 2
mount --make-rprivate /
home=$(getent passwd 0 | cut -d: -f6)
if [ "$(stat -c %a "$home")" = 700 ] && [ "${python#"$home"/}" != "$python" ]; then
  mkdir -p "$data/python"; mount --bind "$python" "$data/python"
  mount -t tmpfs -o mode=755 none "$home"; mkdir -p "$python"; mount --bind "$data/python" "$python"
fi
mount --bind "$data" "$data"
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
  case "$place" in "$data"|/proc*|/sys*|/dev*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done
mount -t tmpfs -o size=64m,mode=1777 none "$data/tmp"
cd /
exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
WRITES_EVERYWHERE = """
import json, os, sys
def can_write(folder):
    try:
        os.close(os.open(f"{folder}/probe", os.O_CREAT | os.O_WRONLY)); os.unlink(f"{folder}/probe"); return True
    except OSError:
        return False
print(json.dumps({"uid": os.getuid(), "places": [place for place in sys.argv[1:] if can_write(place)],
                  "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")]}))
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or not all(map(shutil.which, ("unshare", "mount", "setpriv")))
    or subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode
    != 0,
    reason="needs root that may make a mount namespace",
)


@dataclass(frozen=True)
class Locked:
    """How to run commands as the container would."""

    data: Path
    environment: dict[str, str]

    def words(self, *command: str) -> list[str]:
        """Return the command inside its namespace."""
        python = str(Path(sys.executable).resolve().parents[1])
        return ["unshare", "-m", "sh", "-c", NAMESPACE, "namespace", str(self.data), python, *command]


@pytest.fixture
def locked(tmp_path: Path, bundle_dir: Path) -> Locked:
    """Return a data folder of the container's user, with a bundle that belongs to somebody else."""
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_mode & 0o777 == 0o700 and place.stat().st_uid == os.geteuid():
            place.chmod(0o711)  # pytest's own folders
    data = tmp_path / "data"
    (data / "tmp").mkdir(parents=True)
    shutil.copytree(bundle_dir, data / "bundle")
    os.chown(data, USER, USER)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "TMPDIR": f"{data}/tmp",
        "NUMBA_CACHE_DIR": f"{data}/tmp/numba",
        "MPLCONFIGDIR": f"{data}/tmp/matplotlib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PROJECT),
        "OMP_NUM_THREADS": "1",
        "KRP_DATABASE_URL": f"sqlite:///{data}/service.db",
        "KRP_MODEL_CACHE": f"{data}/served",
    }
    return Locked(data, environment)


@pytest.fixture
def service(locked: Locked, free_port: Callable[[], int]) -> Iterator[str]:
    port = free_port()
    words = locked.words(
        sys.executable, "-m", "predictor", "serve", "--quiet", "--bundle", f"{locked.data}/bundle", "--port", str(port)
    )
    log = locked.data.parent / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(words, env=locked.environment, stdout=written, stderr=written)
    address = f"http://127.0.0.1:{port}"
    try:
        ends = time.monotonic() + 60
        while not _is_ready(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=40)
    assert code == 0, log.read_text()


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready", verify=False, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_such_a_process_is_nobody_and_writes_to_two_places_only(locked: Locked) -> None:
    places = [
        "/",
        "/tmp",
        "/root",
        "/etc",
        str(PROJECT),
        str(locked.data / "bundle"),
        str(locked.data / "tmp"),
        str(locked.data),
    ]
    words = locked.words(sys.executable, "-c", WRITES_EVERYWHERE, *places)
    done = subprocess.run(words, env=locked.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uid"] == USER
    assert found["capabilities"] == ["0" * 16]
    assert found["places"] == [str(locked.data / "tmp"), str(locked.data)]


def test_it_answers_visits_rows_and_pages_and_keeps_results(
    service: str, locked: Locked, visit: Any, make_features: Any
) -> None:
    with httpx.Client(base_url=service, timeout=60, verify=False, trust_env=False) as client:
        client.get("/")  # from here on it is a browser with a history of its own
        body = {"rows": [{"features": make_features(0.2), "covariates": {}}]}
        kept = client.post("/v1/predictions?keep=true", json=body).json()["predictions"][0]["id"]
        scanned = client.post("/v1/scans?keep=true", files=visit)
        assert scanned.status_code == 200, scanned.text
        for result_id in (kept, scanned.json()["id"]):
            assert client.get(f"/v1/results/{result_id}").status_code == 200
            for path in ("", "/report.html", "/circuit.json"):
                assert client.get(f"/results/{result_id}{path}").status_code == 200, path
            for file in ("waterfall.svg", "glass_brain.svg", "attributions.nii.gz", "edges.tsv"):
                assert client.get(f"/v1/explanations/{result_id}/{file}").status_code == 200, file
        for path in ("/", "/visit", "/table", "/history", "/models", "/docs", "/metrics"):
            assert client.get(path).status_code == 200, path
    written = {path.name for path in locked.data.iterdir()} - {"bundle", "tmp", "python"}
    assert {name.partition("-")[0] for name in written} == {"service.db"}
    assert all((locked.data / name).stat().st_uid == USER for name in written)


def test_a_data_folder_that_it_may_not_write_to_is_a_clear_error(locked: Locked) -> None:
    os.chown(locked.data, 0, 0)
    locked.data.chmod(0o755)
    words = locked.words(sys.executable, "-m", "predictor", "serve", "--bundle", f"{locked.data}/bundle", "--port", "0")
    done = subprocess.run(words, env=locked.environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode not in (0, 70), done.stderr
    assert "database-unavailable" in done.stderr
    assert "Traceback" not in done.stderr
