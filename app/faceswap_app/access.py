"""Who may see what: one rule, which everything asks.

A project belongs to whoever has made it, and is seen by them alone unless they share it. Whoever sees a project may
work in it; to rename or throw it away, to delete for good, or to share it is its owner's. Where visitors have no names,
everything is everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Whose a project is."""

    owner: str = ""
    """Who logs in by this name; nobody, where the project was made without names."""
    shared: bool = False
    """Whether everybody who has logged in sees it."""


NOBODYS = Standing()
"""Seen by nobody who has a name, until it is given to somebody."""


def everybody() -> str | None:
    """Who it is where visitors have no names, and for whoever has a shell on the server."""
    return None


def may_see(who: str | None, standing: Standing) -> bool:
    """Whether somebody may see a project, and all that is in it or was made of it."""
    return standing.shared or owns(who, standing)


def owns(who: str | None, standing: Standing) -> bool:
    """Whether somebody may do with it what is the owner's alone."""
    return who is None or (who != "" and who == standing.owner)
