"""Execute the Dockerfile's steps in a clean folder, since no container engine may be at hand.

COPY becomes a copy, RUN a shell command with the stage's ENV, `KRP_HOME` a temporary folder. At the end `krp --version`
runs from the built environment as the image's user (where this process may change its user). What this does not show:
the base image itself, and the layers' permissions.

Usage: python tests/robustness/dockerfile_steps.py
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def read_instructions(text: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into (instruction, arguments), continuation lines joined, comments dropped."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.split(maxsplit=1)[0].upper(), line.split(maxsplit=1)[1]) for line in lines]


def run_stage(instructions: list[tuple[str, str]], root: Path, environment: dict[str, str]) -> None:
    """Carry out one stage's ENV, WORKDIR, COPY and RUN below `root`."""
    workdir = root
    for name, arguments in instructions:
        if name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in arguments.split())
            environment["KRP_HOME"] = str(root / "opt/krp")
        elif name == "WORKDIR":
            workdir = root / arguments.lstrip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            copy(arguments, root, workdir)
        elif name == "RUN":
            print(f"RUN {arguments}", flush=True)  # noqa: T201
            subprocess.run(["/bin/sh", "-ec", arguments], cwd=workdir, env=environment, check=True)


def copy(arguments: str, root: Path, workdir: Path) -> None:
    """Copy from the project, or from a stage that was built below the same root."""
    words = arguments.split()
    if words[0].startswith("--from="):
        source = root / words[1].lstrip("/")
        if not source.exists():
            raise SystemExit(f"COPY {arguments}: the earlier stage did not build {words[1]}")
        return
    target = root / words[-1].lstrip("/") if words[-1].startswith("/") else workdir / words[-1]
    for word in words[:-1]:
        source = PROJECT / word
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            into_folder = words[-1].endswith("/")
            place = target / source.name if into_folder else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def run_as_image_user(command: list[str], user: str) -> str:
    """Run a command as the image's numeric user, or as this one where that cannot be."""
    uid, gid = (int(part) for part in user.split(":"))
    identity: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": []}
    if os.geteuid() != 0 or not is_open_to_others(Path(sys.executable).resolve()):
        print("as the present user, since the image's user cannot run this machine's Python:", flush=True)  # noqa: T201
        identity = {}
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd="/", **identity)
    return done.stdout.strip()


def is_open_to_others(path: Path) -> bool:
    """Whether any user may execute the file, every folder above it included."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


def main() -> int:
    """Build every stage, then ask the result for its version and its help."""
    instructions = read_instructions((PROJECT / "Dockerfile").read_text(encoding="utf-8"))
    users = {arguments for name, arguments in instructions if name == "USER"}
    if not users or any(user.split(":")[0] in {"0", "root"} for user in users):
        raise SystemExit("the images must name a USER that is not root")
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        run_stage(instructions, root, environment)
        krp = str(root / "opt/krp/venv/bin/krp")
        for options in (["--version"], ["serve", "--help"], ["train", "--help"]):
            print(run_as_image_user([krp, *options], min(users)).splitlines()[0], flush=True)  # noqa: T201
    print("the Dockerfile's steps ran; the images themselves were not built")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
