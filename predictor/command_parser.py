"""How a command line is understood: commands with examples and exit codes, help that fits the terminal, near misses.

Options may be written with underscores too (`--participant_label`), as the BIDS-App specification spells them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final, NoReturn, Protocol

from predictor import console
from predictor.errors import UsageError
from predictor.exit_codes import MEANING, WRONG_USE, exit_code_lines

Subparsers = argparse._SubParsersAction  # what argparse calls the list of commands; it has no public name
_NARROWEST, _WIDEST = 60, 110
# Lines that are kept as they are: examples and lists. Those that a shell may be given continue with a backslash.
_KEPT, _SHELL = "  ", ("krp ", "openssl ", "eval ")
_ABOUT_ARGUMENT: Final = re.compile(r"argument (?P<where>\S+): (?P<message>.*)", re.DOTALL)
# Options of other BIDS-Apps that have no meaning here, and why.
_NO_WORK_DIR: Final = (
    "krp keeps no working folder: everything it writes stands in OUT, unfinished files are never read."
)
_FOREIGN_OPTIONS: Final = {
    "-w": _NO_WORK_DIR,
    "--work-dir": _NO_WORK_DIR,
    "--skip-bids-validation": "krp validates nothing unasked; `krp check` lists everything wrong with a tree.",
    "--mem": "krp holds one volume per process in memory, whatever the length of a run.",
}


def add_command(
    subparsers: Subparsers[Any],
    name: str,
    *,
    help: str,
    description: str,
    examples: Sequence[str],
    exit_codes: Mapping[int, str] | None = None,
    notes: str = "",
    if_interrupted: str = "",
) -> argparse.ArgumentParser:
    """Add a command with what each one's help shows: what it does, how it is called, how it ends.

    Parameters
    ----------
    help, description
        In the list of commands, and above its own options.
    examples
        Whole command lines.
    exit_codes
        What a code means for this command, where that is more than it means anyway.
    notes
        What else stands below the options; indented lines are kept as they are.
    if_interrupted
        What Ctrl+C leaves, said by the entry point.
    """
    shown = "\n".join(["examples:", *(f"  {example}" for example in examples)])
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=help,
        description=description,
        epilog="\n\n".join(filter(None, [shown, notes, exit_code_lines(exit_codes)])),
        formatter_class=CommandHelp,
    )
    parser._positionals.title = "arguments"
    parser.set_defaults(if_interrupted=if_interrupted)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the commands below a parser by name; empty for one that has none."""
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {name: below for action in found for name, below in action.choices.items()}


def every_command(parser: argparse.ArgumentParser, *above: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command and every action below one, with its words: "train", "keys", "keys create"."""
    for name, below in commands_of(parser).items():
        yield " ".join([*above, name]), below
        yield from every_command(below, *above, name)


class OptionHint(Protocol):
    """Tells how something is given that was written as an option, empty where there is no such thing."""

    def __call__(self, option: str, value: str, *, is_near: bool) -> str:
        """Return the remedy; with `is_near` also for something spelt like it."""


class CommandParser(argparse.ArgumentParser):
    """A parser that says what was meant when a word is misspelt, in the four parts of every error."""

    # How to say otherwise what is no option of this command; see `OptionHint`.
    hint_for: OptionHint | None = None
    _words: Sequence[str] = ()
    _greedy = ""
    _misspelt = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse the words, and refuse unknown ones where they stand: this command knows what it takes.

        Raises
        ------
        SystemExit
            With code 2.
        """
        words = [self._with_dashes(word) for word in (sys.argv[1:] if args is None else args)]
        self._words = words
        self._greedy = self._greedy_option(words)
        self._misspelt = self._misspelt_option(words)
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self._refuse(unknown[0])
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and end with exit code 2."""
        about = _ABOUT_ARGUMENT.fullmatch(message)
        if self._misspelt:
            self._refuse(self._misspelt)
        if self._greedy and "are required" in message:
            self._fail(message, remedy=f"{self._greedy} takes all words behind it: put it last, or an option after it.")
        self._fail(about["message"] if about else message, where=about["where"].split("/")[0] if about else "")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, or a last line; argparse alone would pass over a disk that is full."""
        if file is not None and file is sys.stdout:
            with suppress(console.ReaderGoneError):
                console.emit(message)
        else:
            console.tell(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of the choices; argparse alone would not say which one is nearest."""
        if action.choices is None or value in action.choices:
            return
        if self._misspelt:
            self._refuse(self._misspelt)
        what = action.metavar if isinstance(action.metavar, str) else action.dest.replace("_", " ")
        near = nearest(str(value), map(str, action.choices))
        known = "" if near else f"; expected {', '.join(map(str, action.choices))}"
        self._fail(f"there is no {what.lower()} `{str(value)[:80]}`{known}.", hint=near)

    def _refuse(self, word: str) -> NoReturn:
        option = word.partition("=")[0]
        if not option.startswith("-"):
            self._fail(f"expected no further word, found `{option[:80]}`.")
        if option in _FOREIGN_OPTIONS:
            self._fail(f"there is no option {option}.", remedy=_FOREIGN_OPTIONS[option])
        near, message = nearest(option, self._option_string_actions), f"there is no option {option[:80]}."
        if hint := self._hint(word, is_near=not near):
            self._fail(message, remedy=hint)
        self._fail(message, hint=near)

    def _hint(self, word: str, *, is_near: bool) -> str:
        """Return how the option is given otherwise, with the value that was written behind it."""
        if self.hint_for is None:
            return ""
        option, _, value = word.partition("=")
        following = self._words[self._words.index(word) + 1 :] if word in self._words else ()
        if not value and following and not following[0].startswith("-"):
            value = following[0]
        return self.hint_for(option, value, is_near=is_near)

    def _fail(self, message: str, *, where: str = "", hint: str = "", remedy: str = "") -> NoReturn:
        text = message if message.endswith((".", "?")) else f"{message}."
        asked = f"Did you mean {hint}? " if hint else ""
        console.show_error(UsageError(text, where=where, remedy=f"{asked}{remedy or f'See `{self.prog} --help`.'}"))
        self.exit(WRONG_USE, f"{self.prog}: {MEANING[WRONG_USE]} (exit {WRONG_USE})\n")

    def _greedy_option(self, words: Sequence[str]) -> str:
        """Return an option among the words that may have swallowed an argument, empty if there is none."""
        known = self._option_string_actions
        return next((word for word in words if word in known and known[word].nargs in ("+", "*")), "")

    def _misspelt_option(self, words: Sequence[str]) -> str:
        """Return the first option that there is not: its value passes for an argument, and that would be blamed."""
        if commands_of(self):  # most words are for a command below this one
            return ""
        options = (word for word in words if word.startswith("--") and word != "--")
        known = tuple(self._option_string_actions)
        return next((one for one in options if not any(name.startswith(one.partition("=")[0]) for name in known)), "")

    def _with_dashes(self, word: str) -> str:
        option, separator, value = str(word).partition("=")
        dashed = option.replace("_", "-")
        is_known = option.startswith("--") and dashed in self._option_string_actions
        return f"{dashed}{separator}{value}" if is_known else word


class CommandHelp(argparse.HelpFormatter):
    """Help that wraps paragraphs to the terminal, keeps indented lines, and shows every default."""

    def __init__(self, prog: str) -> None:
        width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
        super().__init__(prog, max_help_position=30, width=width - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = groupby(text.splitlines(), key=lambda line: line.startswith(_KEPT) or not line)
        return "\n".join(
            line
            for is_kept, lines in blocks
            for line in (_kept(lines, width) if is_kept else textwrap.wrap(" ".join(lines), width))
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        # An option or a name that is cut at its hyphen cannot be copied.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action(self, action: argparse.Action) -> str:
        """Return an argument with its help; commands stand below each other without a heading of their own."""
        if isinstance(action, argparse._SubParsersAction):
            return self._join_parts([self._format_action(one) for one in self._iter_indented_subactions(action)])
        return super()._format_action(action)

    def _iter_indented_subactions(self, action: argparse.Action) -> Generator[argparse.Action, None, None]:
        yield from action._get_subactions() if isinstance(action, argparse._SubParsersAction) else ()

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Name an option once: other names of it stand in its help."""
        long = [name for name in action.option_strings if name.startswith("--")]
        if len(long) < 2:
            return super()._format_action_invocation(action)
        return f"{long[0]} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _get_help_string(self, action: argparse.Action) -> str | None:
        said, default = action.help or "", action.default
        is_told = "(default" in said or default is None or default == [] or isinstance(default, bool)
        if is_told or default is argparse.SUPPRESS or not action.option_strings:
            return action.help
        return f"{said} (default: %(default)s)"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what someone may have meant, empty if nothing is near.

    Examples
    --------
    >>> nearest("trian", ["train", "extract"])
    'train'
    """
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def _kept(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines as they are; what is too long for the terminal goes on below, ready for a shell if it is for one."""
    for line in lines:
        is_for_shell = line.strip().startswith(_SHELL)
        parts = textwrap.wrap(
            line, width - 2, subsequent_indent=" " * (6 if is_for_shell else 7), drop_whitespace=True,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        yield (" \\\n" if is_for_shell else "\n").join(parts)
