"""Talking heads of people who do not exist, drawn from formulae, with the truth about each frame.

For the demo, and for tests: `frames(CAST["ada"], 100)` yields pictures with known landmarks, pose and expression.
"""

from .looks import CAST, LEADS, Actor
from .scene import Rendering, Stage, frames
from .script import Performance, perform

__all__ = ["CAST", "LEADS", "Actor", "Performance", "Rendering", "Stage", "frames", "perform"]
