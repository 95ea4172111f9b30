"""A page of the documentation: its blocks of commands, what it shows of their output, and what is not to be run.

A block is fenced and called `sh`. A block `text` right after it shows what the commands print: every line must come, in
this order; `...` stands for anything. `sh no-run REASON` is for readers only. A comment `# exit code 4` at the end of a
command says that it ends so on purpose.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

FENCE = re.compile(r"^\s*(?P<marks>`{3,}|~{3,})(?P<info>.*)$")
HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(?P<word>\w+)\1")
EXIT_CODE = re.compile(r"#.*?\bexit code (\d+)")
NO_RUN = "no-run"


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that stand together."""

    line: int  # of the page, from 1
    statements: tuple[str, ...]
    shown: str | None = None  # what the page says they print
    no_run: str | None = None  # why they are not run

    def expected_code(self, statement: str) -> int:
        """Return the exit code that the page announces, 0 unless it does."""
        found = EXIT_CODE.search(statement.splitlines()[0])
        return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class _Fenced:
    line: int
    info: str
    lines: tuple[str, ...]
    is_next: bool  # only empty lines stand between this and the block before


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return a page's blocks of commands, in their order."""
    blocks: list[Block] = []
    before: _Fenced | None = None
    for fenced in _fenced(page.read_text(encoding="utf-8").splitlines()):
        language, _, rest = fenced.info.partition(" ")
        if language == "sh":
            mark, _, reason = rest.strip().partition(" ")
            no_run = reason.strip() if mark == NO_RUN else None
            blocks.append(Block(fenced.line, tuple(statements_of(fenced.lines)), no_run=no_run))
        elif language == "text" and fenced.is_next and before is not None and before.info.split()[:1] == ["sh"]:
            blocks[-1] = replace(blocks[-1], shown="\n".join(fenced.lines))
        before = fenced
    return tuple(blocks)


def statements_of(lines: Sequence[str]) -> Iterator[str]:
    """Yield commands as the shell would take them: continued lines, here-documents and loops in one piece."""
    pending: list[str] = []
    word: str | None = None
    for line in lines:
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        pending.append(line)
        if word is not None:
            word = None if line == word else word
        elif found := HERE_DOCUMENT.search(line):
            word = found["word"]
        if word is None and not line.endswith("\\") and _is_whole("\n".join(pending)):
            yield "\n".join(pending)
            pending = []
    if pending:
        yield "\n".join(pending)


def unprinted(shown: str, printed: str) -> str | None:
    """Return the first line that the page shows and the commands did not print in its turn, None if all came."""
    rest = iter(" ".join(line.split()) for line in printed.splitlines())
    for line in shown.splitlines():
        words = " ".join(line.split())
        if words in ("", "..."):
            continue
        pattern = ".*".join(re.escape(part.strip()) for part in words.split("..."))
        if not any(re.fullmatch(r"\s*" + pattern + r"\s*", one) for one in rest):
            return line
    return None


def _is_whole(text: str) -> bool:
    """Whether the shell would wait for more lines (`for ... do`)."""
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0


def _fenced(lines: Sequence[str]) -> Iterator[_Fenced]:
    """Yield fenced blocks; directives such as `{tab-item}` are looked into."""
    marks, start, content, is_next = "", 0, [""], False
    info = ""
    for number, line in enumerate(lines, start=1):
        found = FENCE.match(line)
        if not marks and found and found["info"].strip() and not found["info"].strip().startswith("{"):
            marks, info, start, content = found["marks"], found["info"].strip(), number, []
        elif marks and found and found["marks"].startswith(marks) and not found["info"].strip():
            indent = min((len(one) - len(one.lstrip()) for one in content if one.strip()), default=0)
            yield _Fenced(start, info, tuple(one[indent:] for one in content), is_next)
            marks, is_next = "", True
        elif marks:
            content.append(line)
        elif line.strip():
            is_next = False
