"""What commands that only read the log book do to answer sooner."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Leave cyclic garbage alone for the length of a short command.

    Importing MLflow makes hundreds of thousands of objects that all stay; Python looks through them for garbage again
    and again, which takes about a fifth of the command's time. Also a decorator. Not for commands that compute: what
    they leave in cycles may be large.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
