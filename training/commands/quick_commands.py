"""What commands do to answer sooner that only read the log book, or import much before they start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Leave cyclic garbage alone for the length of a short command, or of its imports.

    Importing MLflow makes hundreds of thousands of objects that all stay; Python looks through them for garbage again
    and again, which takes about a fifth of a short command's time. Also a decorator. Commands that compute wrap their
    imports only: what they leave in cycles may be large.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
