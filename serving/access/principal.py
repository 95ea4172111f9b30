"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["score", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
LOCAL_OWNER = "local"


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller. The owner is opaque: whoever reads a log or the database learns nobody's name from it."""

    owner: str  # "local", "browser:<16 hex>", "key:<id>", "token:<16 hex>", or "nobody"
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the caller holds a scope; none implies another."""
        return scope in self.scopes

    @property
    def is_signed_in(self) -> bool:
        """Whether the caller proved who they are, with a key or a token."""
        return self.owner.startswith(("key:", "token:"))


NOBODY = Principal("nobody", frozenset())  # who asks for a public address; not looked into any further
LOCAL = Principal(LOCAL_OWNER, frozenset(SCOPES))  # a program on this machine, while no keys are asked for
