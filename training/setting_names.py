"""The settings of an experiment file by name: what someone meant who writes one as an option of the command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final, get_args, get_origin, get_type_hints

from training.config import ExperimentConfig

# Of the file's text, and of sections that are no settings of a single training.
_NO_SETTINGS: Final = ("source", "multiverse")
_NEAR: Final = 0.75
_MOST_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of an experiment file."""

    section: str  # empty for entries above all sections
    key: str
    kind: Any  # its type

    @property
    def name(self) -> str:
        """What `--set` calls it."""
        return f"{self.section}.{self.key}" if self.section else self.key

    def call(self, value: str) -> str:
        """Return the option that sets it, ready for a shell; a value that is not known is shown as VALUE."""
        return f"--set {shlex.quote(f'{self.name}={self._in_toml(value)}')}"

    def _in_toml(self, value: str) -> str:
        origin = get_origin(self.kind)
        if origin is tuple and not value.startswith("["):
            is_text = get_args(self.kind)[0] is str
            return f"[{json.dumps(value or 'VALUE') if is_text else value or 'VALUE'}]"
        if origin is Mapping and not value.startswith("{"):
            return '{ COLUMN = "VALUE" }'
        return value or ("true" if self.kind is bool else "VALUE")


def settings() -> Iterator[Setting]:
    """Yield every entry of an experiment file, section by section."""
    for name, kind in _entries(ExperimentConfig):
        section = next((one for one in (kind, *get_args(kind)) if hasattr(one, "__dataclass_fields__")), None)
        if section is None:
            yield Setting("", name, kind)
        else:
            yield from (Setting(name, key, kind) for key, kind in _entries(section))


def settings_called(word: str, *, is_near: bool = False) -> tuple[Setting, ...]:
    """Return the settings that a word may mean.

    Parameters
    ----------
    word
        Their whole name, key, key without "n_", or section; dashes, underscores and dots are the same.
    is_near
        Whether something like their key will do.

    Examples
    --------
    >>> [setting.name for setting in settings_called("permutations")]
    ['validation.n_permutations']
    """
    known, wanted = tuple(settings()), re.sub(r"[-.]", "_", word.lower())
    for said in (_full_name, _key, _counted, _section):
        if found := tuple(one for one in known if said(one) == wanted):
            return found
    near = get_close_matches(wanted, [_key(one) for one in known], n=1, cutoff=_NEAR) if is_near else ()
    return tuple(one for one in known if _key(one) in near)


def hint_for(option: str, value: str, *, is_near: bool = False) -> str:
    """Return how a setting is given that was written as an option of its own; empty where none is called so.

    Parameters
    ----------
    option
        As it was written, "--permutations".
    value
        The word behind it, empty if there is none.
    is_near
        Whether something like a setting's name will do.

    Examples
    --------
    >>> hint_for("--permutations", "99")
    'It stands in the experiment file; to replace it: --set validation.n_permutations=99'
    """
    found = settings_called(option.lstrip("-"), is_near=is_near)
    if not found:
        return ""
    if len(found) <= _MOST_SHOWN:
        calls = ", or ".join(one.call(value) for one in found)
        return f"It stands in the experiment file; to replace it: {calls}"
    section, keys = found[0].section, ", ".join(one.key for one in found)
    return f"It is a section of the experiment file; --set {section}.KEY=VALUE replaces one of {keys}."


def _entries(kind: Any) -> Iterator[tuple[str, Any]]:
    types = get_type_hints(kind)
    yield from ((entry.name, types[entry.name]) for entry in fields(kind) if entry.name not in _NO_SETTINGS)


def _full_name(setting: Setting) -> str:
    return setting.name.replace(".", "_")


def _key(setting: Setting) -> str:
    return setting.key


def _counted(setting: Setting) -> str:
    return setting.key.removeprefix("n_")


def _section(setting: Setting) -> str:
    return setting.section
