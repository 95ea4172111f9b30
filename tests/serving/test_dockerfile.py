"""The Dockerfile against the rules that linters of Dockerfiles know (hadolint's numbers in brackets), without one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Stage:
    """One image of the file."""

    name: str
    base: str
    steps: tuple[tuple[str, str], ...]  # (instruction, arguments), in order

    def all_of(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]


@pytest.fixture(scope="module")
def text() -> str:
    return (Path(__file__).resolve().parents[2] / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def arguments(text: str) -> dict[str, str]:
    """Return the defaults of the arguments that stand before the first stage."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", text.partition("\nFROM ")[0], re.MULTILINE))


@pytest.fixture(scope="module")
def stages(text: str, arguments: dict[str, str]) -> tuple[Stage, ...]:
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Stage] = []
    for instruction, rest in lines:
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            for argument, default in arguments.items():
                base = base.replace(f"${{{argument}}}", default)
            found.append(Stage(name, base, ()))
        elif found:
            last = found[-1]
            found[-1] = Stage(last.name, last.base, (*last.steps, (instruction, rest)))
    return tuple(found)


@pytest.fixture(scope="module")
def images(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Return what is run; the other stage is only copied from."""
    return tuple(stage for stage in stages if stage.name != "environment")


def test_every_stage_has_a_name_and_a_base_with_its_version_and_distribution(stages: tuple[Stage, ...]) -> None:
    assert [stage.name for stage in stages] == ["environment", "train", "serve"]
    for stage in stages:  # [DL3006, DL3007]
        assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", stage.base), stage.base
    assert len({stage.base for stage in stages}) == 1


def test_no_image_runs_as_root(images: tuple[Stage, ...]) -> None:
    for stage in images:  # [DL3002]; by number, so that an orchestrator can tell
        (user,) = stage.all_of("USER")
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), stage.name
        assert [name for name, _ in stage.steps].index("USER") < [name for name, _ in stage.steps].index("ENTRYPOINT")


def test_files_come_by_copy_and_only_those_that_are_named(stages: tuple[Stage, ...]) -> None:
    assert not [stage.name for stage in stages if stage.all_of("ADD")]  # [DL3020]
    sources = [word for stage in stages for copied in stage.all_of("COPY") for word in copied.split()[:-1]]
    assert "." not in sources
    assert not [word for word in sources if word in ("demo", "mlruns", "tests", "secrets", ".git")]


def test_packages_are_pinned_with_hashes_and_leave_no_cache(stages: tuple[Stage, ...]) -> None:
    installs = [run for stage in stages for run in stage.all_of("RUN") if "pip" in run and "install" in run]
    assert len(installs) == 2
    for run in installs:  # [DL3013, DL3042]
        assert ("--require-hashes" in run) != ("--no-deps" in run)
    assert all("PIP_NO_CACHE_DIR=1" in " ".join(stage.all_of("ENV")) for stage in stages if stage.name == "environment")


def test_nothing_is_fetched_by_hand_and_nothing_needs_root_later(stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for run in stage.all_of("RUN"):  # [DL3004, DL3008, DL4001, DL4006]
            assert not re.search(r"\b(curl|wget|sudo|apt|apt-get|ssh|git|chmod 777)\b", run), run
            assert "|" not in run


def test_no_secret_stands_in_it(text: str, stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for line in [*stage.all_of("ENV"), *stage.all_of("ARG")]:
            assert not re.search(r"(?i)(password|passwd|secret|token|api_?key|private)\w*=", line), line
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@", text)


def test_paths_are_absolute_and_commands_are_lists(stages: tuple[Stage, ...], images: tuple[Stage, ...]) -> None:
    for stage in stages:  # [DL3000]
        assert all(place.startswith("/") for place in stage.all_of("WORKDIR"))
        assert "cd " not in " ".join(stage.all_of("RUN"))  # [DL3003]
    for stage in images:  # [DL3025, DL4003, DL4004]
        (entry,), (command,) = stage.all_of("ENTRYPOINT"), stage.all_of("CMD")
        assert entry.startswith('["')
        assert command.startswith('["')


def test_the_service_says_how_to_see_that_it_lives_and_how_it_stops(images: tuple[Stage, ...]) -> None:
    (serve,) = (stage for stage in images if stage.name == "serve")
    (check,) = serve.all_of("HEALTHCHECK")
    assert "/health/ready" in check
    assert serve.all_of("STOPSIGNAL") == ["SIGTERM"]
    assert serve.all_of("EXPOSE") == ["8000"]  # [DL3011]; above 1024, so that no capability is needed


def test_the_service_listens_on_loopback_until_it_is_told_otherwise(images: tuple[Stage, ...]) -> None:
    (serve,) = (stage for stage in images if stage.name == "serve")
    assert "KRP_HOST" not in " ".join(serve.all_of("ENV"))
    assert "--host" not in " ".join(serve.all_of("ENTRYPOINT") + serve.all_of("CMD"))
