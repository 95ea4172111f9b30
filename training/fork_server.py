"""A process that has imported what workers need: they are forked from it, and so have it at once.

Importing what one visit needs takes two seconds of a processor, several times what a small visit takes. Started before
the command's own imports, the server does that beside them, once for all workers.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

# Before all others: switches garbage collection off.
FIRST = "training.uncollected_imports"
# pandas' arrow would start a thread that nobody needs, and what has threads is not forked.
NO_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
# A worker runs its parent's main module once more. These do nothing then; of others, nobody knows.
OUR_SCRIPT = "krp"
KNOWN_MODULES = frozenset({"predictor.__main__", "pytest.__main__"})  # of `python -m`


def start(modules: Sequence[str]) -> bool:
    """Start the server, and return at once while it imports.

    The environment must ask for one thread of linear algebra by now, as `krp` sees to.

    Returns
    -------
    bool
        Whether workers can be forked from it; if not, they start as they do without it, and nothing was started.
    """
    if not _is_possible():
        return False
    os.environ.update({name: value for name, value in NO_THREAD.items() if name not in os.environ})
    multiprocessing.set_forkserver_preload([FIRST, *modules])
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl+C is this process's, from the beginning
    try:
        forkserver.ensure_running()
    except OSError:  # the folder for temporary files has too long a name for a socket, or cannot be written
        return False
    finally:
        signal.signal(signal.SIGINT, handler)
    atexit.register(_end)
    return True


def _is_possible() -> bool:
    """Whether workers may be forked here: on Linux, in a main thread, by a program that can be imported again.

    Elsewhere there is no fork, or system libraries do not stand it. On a single processor nothing would be gained.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return False
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        can_import_again = main.__spec__.name in KNOWN_MODULES
    else:
        file = getattr(main, "__file__", None)
        can_import_again = file is None or Path(file).name == OUR_SCRIPT
    return can_import_again and len(os.sched_getaffinity(0)) > 1


def _end() -> None:
    """End the server with its command; by itself it would import to the end first, and hold the output open."""
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
