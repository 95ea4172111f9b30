"""Imported first by `training.fork_server`, and by nobody else: what follows is imported without garbage collection.

That takes a seventh less time, and workers collect nothing that was imported. Importing this acts, against the rule,
for a fork server is told nothing but names of modules.
"""

from __future__ import annotations

import gc

gc.disable()  # `training.forked_workers` enables it in every worker
