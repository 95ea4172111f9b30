"""How many people a number must be about, so that it does not tell of one of them.

Reports, cards and locked tests leave a house without their people. A mean or a share over very few comes close to
showing one of them, and so does what can be worked out as the difference of two numbers that are shown.
"""

from __future__ import annotations

from typing import Final

FEWEST_SHOWN: Final = 5  # the fewest people whom a number may be about [assumed]
