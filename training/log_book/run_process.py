"""Which process writes a run, so that one whose process is gone can be told from one that is still at work.

A run is marked with the process's number, when the process was started, and digests of the machine and of its last
start; no name of a machine or a person is written down.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

PROCESS_TAG = "process"
_PROC = Path("/proc")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RunProcess:
    """A process, as a tag of a run tells it."""

    number: int
    started: str  # clock ticks since the machine was started; "unknown" where the system does not say
    boot: str  # digest of the machine's last start and of the space of process numbers
    machine: str  # digest; "unknown" where the system does not say

    def text(self) -> str:
        """Return the process as a tag's value."""
        return f"{self.number}:{self.started}:{self.boot}:{self.machine}"

    @classmethod
    def of_text(cls, text: str) -> RunProcess | None:
        """Return the process that a tag tells; None if it tells none."""
        parts = text.split(":")
        if len(parts) != 4 or not parts[0].isdigit():
            return None
        return cls(int(parts[0]), *parts[1:])

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None if that cannot be known from here (another machine)."""
        here = this_process()
        if self.boot == here.boot and self.boot != _UNKNOWN:
            return _start_of(self.number) == self.started
        # Started anew since then, the machine has none of its old processes; another container of it may have.
        is_here = self.machine == here.machine and self.machine != _UNKNOWN
        return False if is_here and _boot_of(self.boot) != _boot_of(here.boot) else None


def this_process() -> RunProcess:
    """Return the process that asks."""
    number = os.getpid()
    boot_id = _read(_PROC / "sys/kernel/random/boot_id")
    boot = f"{_digest(boot_id)}.{_digest(_number_space())}" if boot_id else _UNKNOWN
    machine_id = _read(Path("/etc/machine-id"))
    return RunProcess(number, _start_of(number), boot, _digest(f"krp {machine_id}") if machine_id else _UNKNOWN)


def _boot_of(text: str) -> str:
    return text.partition(".")[0]


def _start_of(number: int) -> str:
    """When a process was started; empty if there is none of that number, or only its remains."""
    status = _read(_PROC / str(number) / "stat")
    if not status:
        return _UNKNOWN if not _PROC.is_dir() else ""
    fields = status.rpartition(")")[2].split()  # the name before it may hold blanks
    return "" if fields[0] in ("Z", "X") else fields[19]


def _number_space() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return _UNKNOWN


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
