"""What a signed file holds outside of what its signature covers."""

from __future__ import annotations

import mmap
from pathlib import Path

from faceswap.errors import MediaError
from faceswap.provenance.xmp import boxes

_FREE = {b"free", b"skip"}
_KIND = b"ftyp"


def unsigned_bytes(file: Path) -> int:
    """How many bytes of something, not of nothing, a signed file holds where C2PA's signature does not reach: in the
    free space of MP4 and MOV, and in a second box that says what kind of file it is. In pictures it reaches all.

    No picture or sound can lie there. Raises MediaError if the file cannot be read.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = list(boxes(content, 0, len(content)))
            if not any(kind == _KIND for kind, _, _ in found):
                return 0
            free = sum(_filled(content, begin, end) for kind, begin, end in found if kind in _FREE)
            kinds = [end - begin for kind, begin, end in found if kind == _KIND]
            return free + sum(kinds[1:])
    except ValueError:  # empty: it cannot be mapped
        return 0
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def _filled(content: mmap.mmap, begin: int, end: int) -> int:
    """How many bytes between two places are not zero."""
    block, filled = 1 << 20, 0
    for at in range(begin, end, block):
        part = content[at : min(at + block, end)]
        filled += len(part) - part.count(0)
    return filled
