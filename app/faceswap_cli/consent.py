"""Who the persons of a model are, and that they agreed: said with --consent, or asked for at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from faceswap.errors import ConfigError
from faceswap.provenance.consent import NOBODY, read_consent
from faceswap_cli.terminal import FIRST_RANK, StoppedError, UsageError


def consented(texts: Sequence[str], model: Path, facesets: Mapping[str, Path], ask: bool) -> dict[str, str]:
    """Who the persons are that agreed, of those given as NAME=WHO; at a terminal the others are asked for, unless the
    model knows them. Raises ConfigError."""
    given: dict[str, str] = {}
    for text in texts:
        name, equals, who = text.partition("=")
        if not equals or not who.strip():
            raise UsageError(f"'{text}' does not say who agreed", 'Write it as NAME=WHO, for example a="Jane Doe"')
        given[name] = who.strip()

    there = all(faceset.is_dir() for faceset in facesets.values())  # otherwise training will say what is wrong
    if ask and there and FIRST_RANK and sys.stdin.isatty():
        recorded = read_consent(model)
        answered = {*given, *(recorded.persons if recorded else ())}
        unknown = {person: faceset for person, faceset in facesets.items() if person not in answered}
        given |= {person: _ask_consent(person, faceset) for person, faceset in unknown.items()}
    return given


def _ask_consent(person: str, faceset: Path) -> str:
    try:
        question = f"Who is person {person} ({faceset})? A name; or '{NOBODY}', if drawn or generated"
        who = ""
        while not who:
            who = str(typer.prompt(question, err=True)).strip()
        if who.casefold() != NOBODY and not typer.confirm(f"Did {who} agree to have their face swapped?", err=True):
            raise ConfigError(f"{who} has not agreed", "Ask first, or use the footage of somebody else")
    except typer.Abort:
        raise StoppedError from None
    return who
