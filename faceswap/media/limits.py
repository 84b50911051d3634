"""How large pictures and frames may be: a small hostile file can claim to be enormous, and fill the memory."""

from __future__ import annotations

import os

from faceswap.errors import FaceswapError, full_memory

MAX_PIXELS = "FACESWAP_MAX_PIXELS"
"""The environment variable that says otherwise, in millions: whatever a program starts knows it, too."""
_MEGAPIXELS = 100
"""More than cameras make."""
_ROOM = 128 << 20
"""Bytes that a decoded picture takes, and what decodes it."""


def max_pixels() -> int:
    """Of a picture, or of a video's frame; larger ones are refused before they are decoded."""
    stated = os.environ.get(MAX_PIXELS, "")
    return 1_000_000 * (int(stated) if stated.isascii() and stated.isdecimal() and int(stated) else _MEGAPIXELS)


def starved(error: Exception) -> FaceswapError | None:
    """What a user can do about an error of a decoder, if this machine has too little memory, or none for a thread more;
    None: the file is damaged, and asks for more than there is room for."""
    told = full_memory(error)
    if told is None or isinstance(error, BlockingIOError):  # threads are the machine's own affair
        return told

    try:
        bytes(_ROOM)
    except MemoryError:
        return told
    return None


def make_smaller() -> str:
    """What to do about a picture that is too large."""
    most = max_pixels() // 1_000_000
    return f"Make it smaller than {most} megapixels; or, if you know where it is from, allow more with --max-pixels"
