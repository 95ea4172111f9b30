"""The reference of `krp`, read off the very parser that reads the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from textwrap import dedent

from markdown_text import prose, table

# Options of every command; they are listed once.
COMMON_OPTIONS = frozenset({"--help", "--quiet", "--debug"})


def command_overview() -> str:
    """Return a table of all commands with what each does."""
    described = _help_of_commands(_parser())
    rows = [[f"[`krp {name}`](#krp-{name})", prose(help_text)] for name, help_text in described.items()]
    return table(["command", "does"], rows)


def exit_codes() -> str:
    """Return a table of the exit codes with what the last line on screen says."""
    from predictor.exit_codes import MEANING

    return table(["exit code", "last line says"], [[f"`{code}`", prose(text)] for code, text in MEANING.items()])


def common_options() -> str:
    """Return a table of the options that every command takes."""
    parser = next(iter(commands_of(_parser()).values()))
    return table(["option", "meaning"], _option_rows(parser, is_common=True))


def all_commands() -> str:
    """Return a section per command: usage, what it does, arguments, options, and what follows them in --help."""
    sections = [
        section for name, parser in commands_of(_parser()).items() for section in _sections(name, parser, level=1)
    ]
    return "\n\n".join(sections)


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name, without second names for the same command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            listed = {choice.dest for choice in action._choices_actions}
            return {name: found for name, found in action.choices.items() if name in listed or not listed}
    return {}


def _sections(name: str, parser: argparse.ArgumentParser, *, level: int) -> Iterator[str]:
    anchor = f"krp-{name.replace(' ', '-')}"
    parts = [f"({anchor})=\n{'#' * level} krp {name}", f"```text\n{_usage(parser)}\n```", *_paragraphs(parser)]
    arguments = [
        [f"`{_metavar(action)}`", prose(_help(parser, action))]
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
    ]
    parts += [table(["argument", "meaning"], arguments)] if arguments else []
    options = list(_option_rows(parser, is_common=False))
    parts += [table(["option", "meaning"], options)] if options else []
    yield "\n\n".join([*parts, *_closing(parser)])
    for inner_name, inner in commands_of(parser).items():
        yield from _sections(f"{name} {inner_name}", inner, level=level + 1)


def _paragraphs(parser: argparse.ArgumentParser) -> list[str]:
    return [prose(block) for block in re.split(r"\n\s*\n", parser.description or "") if block.strip()]


def _closing(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what stands below the options: paragraphs, and whatever is indented as it is."""
    text = (parser.epilog or "").replace("%(prog)s", parser.prog)
    lines = [line.rstrip() for line in text.splitlines()]
    for is_kept, block in groupby(lines, key=lambda line: line.startswith(" ")):
        shown = list(block)
        if is_kept:
            yield "```text\n" + dedent("\n".join(shown)) + "\n```"
        else:
            yield from (_as_sentence(part) for part in re.split(r"\n{2,}", "\n".join(shown)) if part.strip())


def _as_sentence(text: str) -> str:
    plain = prose(text)
    return plain[:1].upper() + plain[1:]


def _option_rows(parser: argparse.ArgumentParser, *, is_common: bool) -> Iterator[list[str]]:
    for action in parser._actions:
        names = action.option_strings
        if not names or action.help == argparse.SUPPRESS or (not COMMON_OPTIONS.isdisjoint(names)) != is_common:
            continue
        value = _metavar(action) if action.nargs != 0 else ""
        shown = ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in names)
        required = " (required)" if action.required else ""
        yield [shown, prose(_help(parser, action)) + required]


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    name = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else action.dest.upper()
    )
    return f"{name} [{name} ...]" if action.nargs in ("+", "*") else name


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _usage(parser: argparse.ArgumentParser) -> str:
    # The width of the terminal that builds the site must not change the page.
    formatter = argparse.HelpFormatter(parser.prog, width=84)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _help_of_commands(parser: argparse.ArgumentParser) -> dict[str, str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {choice.dest: choice.help or "" for choice in action._choices_actions}
    return {}


def _parser() -> argparse.ArgumentParser:
    from predictor.__main__ import build_parser

    return build_parser()
