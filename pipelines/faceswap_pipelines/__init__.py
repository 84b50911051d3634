"""Jobs over files, built from the library, each in a room of its own; and one call for each command.

    faceswap_pipelines.swap("alice.mp4", model="models/pair", out="swapped.mp4")     see `calls`

Every job is a generator: it yields `Progress` at each point where it may be stopped with nothing lost, and returns
its result. The command line and the page run the same jobs; `api` has them for programs that run them themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceswap_pipelines.calls import batch, evaluate, extract, preview, swap, train, verify

__all__ = ["batch", "evaluate", "extract", "preview", "swap", "train", "verify"]


def __getattr__(name: str) -> Any:
    """The calls, loaded when they are first asked for: they need torch, and the command line answers at once."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from faceswap_pipelines import calls

    return getattr(calls, name)
