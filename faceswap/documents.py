"""Text that may be damaged, or written by somebody who wishes ill: JSON and TOML, parsed or refused in one way, and
words to be shown.

What the parsers let through and programs stumble over is refused, too: whole numbers of more than 64 bits, numbers
that are none, and text with NUL or half of a character in it, which neither names a file nor can be written to one.
"""

from __future__ import annotations

import json
import math
import tomllib
import unicodedata
from typing import Any

_INTEGERS = 2**63
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's names: controls, surrogates, ends of lines and paragraphs


def parse_json(text: str | bytes) -> Any:
    """The value that `text` holds. Raises ValueError, whatever is wrong with it."""
    try:
        return _sound(json.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The values that `text` holds. Raises ValueError, whatever is wrong with it."""
    try:
        values: dict[str, Any] = _sound(tomllib.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return values


def _sound(value: Any) -> Any:
    """The value, if all that is in it can be used."""
    if isinstance(value, dict):
        for key, item in value.items():
            _sound(key)
            _sound(item)
    elif isinstance(value, list):
        for item in value:
            _sound(item)
    elif isinstance(value, str):
        value.encode()  # raises a ValueError for half a character
        if "\0" in value:
            raise ValueError(f"{value[:40]!r} is no text")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    elif isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
        raise ValueError("a number is too large")
    return value


def is_text(text: str) -> bool:
    """Whether it can be shown on one line, and name a file: no NUL, no half of a character, no line break."""
    return not any(unicodedata.category(sign) in _NO_TEXT for sign in text)


def storable(text: object) -> str:
    """Text that can be kept: those bytes of a file's name that are no UTF-8 are written as \\xe9."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: object) -> str:
    """Somebody else's words on one line, without characters that steer a terminal or forge a line of a log."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))
