"""Seeds for all that is drawn by chance."""

from __future__ import annotations

import numpy as np


def seed_of(*numbers: int) -> int:
    """A seed that depends on these non-negative numbers alone, and is another for any others."""
    return int(np.random.SeedSequence([len(numbers), *numbers]).generate_state(1)[0])
