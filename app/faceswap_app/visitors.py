"""Who is visiting, as the server knows it: never as the page says."""

from __future__ import annotations

from gradio.context import LocalContext

from faceswap.errors import ConfigError


def visitor() -> str | None:
    """The name by which somebody has logged in whose click is being answered, if there is one."""
    request = LocalContext.request.get(None)
    name = request.username if request is not None else None
    return str(name) if name else None


def named_visitor() -> str:
    """The same where everybody has a name. Raises ConfigError if there is none."""
    name = visitor()
    if name is None:
        raise ConfigError("you are not logged in", "Load the page anew")
    return name


def address() -> str:
    """From where that somebody visits, if it is known."""
    request = LocalContext.request.get(None)
    client = request.client if request is not None else None
    return str(client.host) if client else ""
