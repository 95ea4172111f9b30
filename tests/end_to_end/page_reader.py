"""A reader who follows a page of the documentation in a folder of their own, command by command.

Commands of `krp` run in this process, since an interpreter of its own for each would take two seconds of imports; the
shell gets everything else. What goes on answering (`&`, or a server in the foreground) is waited for, and ended with
the page. The ports of the page become free ones.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from predictor.__main__ import build_parser, main

PROGRAMS = Path(sys.executable).parent
SERVERS = ("krp serve", "mlflow server", "mlflow ui", "dask scheduler")
PORT = re.compile(r"(?<=:)(?:8000|5000|8786|8787)\b|(?<=--port )(?:8000|5000|8786|8787)\b")
ASSIGNMENT = re.compile(r"(?:export\s+)?(?:\w+=(?:'[^']*'|\"[^\"]*\"|\$\([^)]*\)|\S*)\s*)+")
FILLED_BY_A_PROGRAM = re.compile(r"(?:export\s+)?\w+=\"?\$\(.*\)\"?", re.DOTALL)
# Beyond quotes these make a command the shell's business.
SHELL_SIGNS = re.compile(r"[|;&$`<(){}*?\[~]")
PATIENCE_S = 240.0  # a new log book in PostgreSQL takes a busy machine minutes


@dataclass
class PageReader:
    """Someone in a folder, with variables, who has started some servers."""

    folder: Path
    free_port: Callable[[], int]
    variables: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)  # words of pages -> what stands for them here
    servers: list[tuple[str, subprocess.Popen[bytes], Path]] = field(default_factory=list)
    ports: dict[str, str] = field(default_factory=dict)

    def run(self, statement: str) -> tuple[int, str]:
        """Run one command of a page; returns exit code and what it printed."""
        text = self._here(statement)
        bare = _without_comment(text)
        if bare.endswith("&") or re.sub(r"^(\w+=\S*\s+)+", "", bare).startswith(SERVERS):
            return 0, self._serve(bare.removesuffix("&").strip())
        if bare.startswith("cd ") and not SHELL_SIGNS.search(bare):
            self.folder = (self.folder / bare[3:].strip()).resolve()
            return 0, ""
        if ASSIGNMENT.fullmatch(bare) or FILLED_BY_A_PROGRAM.fullmatch(bare):
            return self._assign(bare)
        words = _plain_words(bare)
        return self._shell(text) if words is None else self._krp(*words)

    def stop(self) -> None:
        """End what was started."""
        for _, process, _ in self.servers:
            _end(process)
        self.servers.clear()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the reader's shell."""
        known = {name: value for name, value in os.environ.items() if not name.startswith(("KRP_", "MLFLOW_", "PG"))}
        path = os.pathsep.join((str(PROGRAMS), known.get("PATH", "")))
        own = {
            "KRP_PORT": self._port("8000"),
            # A registry is shared between pages; what a service keeps is not.
            "KRP_DATABASE_URL": f"sqlite:///{self.folder}/kept/service.db",
            "KRP_MODEL_CACHE": str(self.folder / "kept/served"),
            # `training` sets these when it is imported, which here happened elsewhere.
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return known | {"PATH": path, "no_proxy": "127.0.0.1,localhost"} | own | self.variables

    def _port(self, port: str) -> str:
        return self.ports.setdefault(port, str(self.free_port()))

    def _here(self, statement: str) -> str:
        for words, instead in self.replaced.items():
            statement = statement.replace(words, instead)
        return PORT.sub(lambda found: self._port(found[0]), statement)

    def _krp(self, variables: Mapping[str, str], words: list[str], out: str | None) -> tuple[int, str]:
        """Run a command of krp here; with `> FILE`, its output goes there."""
        words = [*words, "--jobs", "1"] if _takes_jobs(words) else words
        shown, written = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with (
            _surroundings(self.folder, self.environment | dict(variables)),
            contextlib.redirect_stderr(shown),
            contextlib.redirect_stdout(written if out else shown),
        ):
            try:
                code = main(words)
            except SystemExit as end:
                code = int(end.code or 0)
        if out:
            (self.folder / out).write_text(_content(written), encoding="utf-8")
        return code, _content(shown)

    def _shell(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text], cwd=self.folder, env=self.environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _assign(self, text: str) -> tuple[int, str]:
        """Keep variables, also those that a program's output fills."""
        code, printed = self._shell(f"set -a\n{text}\nenv -0")
        found = dict(entry.partition("=")[::2] for entry in printed.split("\0") if "=" in entry)
        before = self.environment
        self.variables |= {
            name: value for name, value in found.items() if before.get(name) != value and name not in ("_", "SHLVL")
        }
        return code, ""

    def _serve(self, text: str) -> str:
        """Start what goes on running, and wait until it answers; returns what it announced."""
        kind = next((one for one in SERVERS if one in text), text)
        for entry in [one for one in self.servers if one[0] == kind and kind in SERVERS]:
            _end(entry[1])  # the reader stopped it with Ctrl+C
            self.servers.remove(entry)
        log = self.folder / f".server-{len(self.servers)}-{time.monotonic_ns()}.log"
        with log.open("wb") as printed:
            process = subprocess.Popen(
                ["bash", "-c", text], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.servers.append((kind, process, log))
        self._wait(kind, process, log)
        return log.read_text(encoding="utf-8")

    def _wait(self, kind: str, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait for an answer of a server; others are given no time."""
        end = time.monotonic() + PATIENCE_S
        if kind not in SERVERS:
            return
        while not self._answers(kind):
            assert process.poll() is None, f"{kind} ended: {log.read_text(encoding='utf-8')[-2000:]}"
            assert time.monotonic() < end, f"{kind} does not answer: {log.read_text(encoding='utf-8')[-2000:]}"
            time.sleep(0.1)
        if kind == "krp serve":  # what it announces comes right after it is ready
            while "Stop with" not in log.read_text(encoding="utf-8") and time.monotonic() < end:
                time.sleep(0.05)

    def _answers(self, kind: str) -> bool:
        port, path = {
            "krp serve": ("8000", "/health/ready"),
            "mlflow server": ("5000", "/health"),
            "mlflow ui": ("5000", "/health"),
        }.get(kind, ("8786", ""))
        try:
            if not path:
                socket.create_connection(("127.0.0.1", int(self._port(port))), timeout=1).close()
            else:
                urllib.request.urlopen(f"http://127.0.0.1:{self._port(port)}{path}", timeout=2).close()
        except OSError:
            return False
        return True


def _without_comment(text: str) -> str:
    """Return a command without the remark at its end; a here-document keeps its signs."""
    return text.strip() if "\n" in text and "<<" in text else re.sub(r"(?m)\s+#[^'\"]*$", "", text).strip()


def _plain_words(text: str) -> tuple[dict[str, str], list[str], str | None] | None:
    """Return variables, arguments and output file of a command of krp; None if it needs a shell."""
    text = text.replace("\\\n", " ")
    if "\n" in text or SHELL_SIGNS.search(re.sub(r"'[^']*'", "", text)):
        return None
    words = shlex.split(text)
    variables: dict[str, str] = {}
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    if words[:1] != ["krp"]:
        return None
    out = None
    if len(words) > 2 and words[-2] == ">":
        out, words = words[-1], words[:-2]
    return None if any(">" in word for word in words) else (variables, words[1:], out)


def _takes_jobs(words: list[str]) -> bool:
    """Whether a command spreads its work over processes and was not told over how many."""
    commands = next(action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    command = commands.get(words[0]) if words else None
    told = {"--jobs", "--backend", "--help", "-h", "--dry-run", "--n-jobs", "--nprocs"}
    return command is not None and "--jobs" in command._option_string_actions and not told & set(words)


@contextlib.contextmanager
def _surroundings(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Be in the reader's folder with the reader's variables."""
    before, here = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def _content(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and what it started and left behind."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
