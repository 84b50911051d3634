"""MODEL/consent.json: who the persons of a model are, and that they agreed to be there.

The record is what somebody said when the model was made; no program can check it. It is kept with the model and goes
into the credentials of everything that is made with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faceswap.documents import parse_json
from faceswap.errors import ConfigError, ModelError, OutputError
from faceswap.files import replaced

NOBODY = "nobody"
"""Who a person is that does not exist: drawn by a program, or generated."""

_NAME = "consent.json"
_LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Consent:
    """What was said of the persons of a model."""

    persons: dict[str, str]
    """By the model's name for each: who that is, or NOBODY."""
    recorded: str
    """The day, as YYYY-MM-DD, in UTC."""

    def in_words(self) -> str:
        """ "a is Jane Doe, who agreed; b does not exist (recorded 2026-11-23)"."""
        said = [
            f"{person} does not exist" if who == NOBODY else f"{person} is {who}, who agreed"
            for person, who in self.persons.items()
        ]
        return f"{'; '.join(said)} (recorded {self.recorded})"


def resolve_consent(model: Path, given: Mapping[str, str], persons: Iterable[str]) -> dict[str, str]:
    """What is known of the `persons` of the model in the folder `model`, with what is `given` now.

    Raises ConfigError unless it is said of each of them, now or when the model was made, who that is and that they
    agree.
    """
    persons = tuple(persons)
    known = read_consent(model)
    said = (known.persons if known else {}) | {person: _tidy(who) for person, who in given.items()}

    if unknown := next((person for person in given if person not in persons), None):
        raise ConfigError(f"consent is given for '{unknown}', who is not in the model", f"It has {', '.join(persons)}")
    if not all(map(_is_name, said.values())):
        raise ConfigError("a name is too long, or no text", f"Use at most {_LONGEST} letters, digits and spaces")

    if missing := [person for person in persons if not said.get(person)]:
        words = " ".join(f'--consent {person}="NAME"' for person in missing)
        who = f"{' and '.join(missing)} of the model {model} {'are' if len(missing) > 1 else 'is'}"
        raise ConfigError(
            f"it is not said who {who}, and that they agree to have their face swapped",
            f"Ask them, then add {words} (for a person who does not exist: {missing[0]}={NOBODY}); in a plan:"
            f' consent = {{ {missing[0]} = "NAME" }}',
        )

    return {person: said[person] for person in persons}


def _is_name(who: str) -> bool:
    return len(who) <= _LONGEST and who.isprintable()


def _tidy(who: str) -> str:
    who = who.strip()
    return NOBODY if who.casefold() == NOBODY else who


def write_consent(model: Path, persons: Mapping[str, str]) -> None:
    """Keep what was said, unless the folder `model` says the same already. Raises OutputError."""
    known = read_consent(model)
    if known and known.persons == dict(persons):
        return

    consent = Consent(dict(persons), datetime.now(UTC).strftime("%Y-%m-%d"))
    try:
        with replaced(model / _NAME) as fresh:
            fresh.write_text(json.dumps(asdict(consent), indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the model folder {model} cannot be written ({error})", "Choose another folder with --model"
        ) from error


def read_consent(model: Path) -> Consent | None:
    """What the folder `model` says; None if it says nothing. Raises ModelError if the file is damaged."""
    path = model / _NAME
    if not path.is_file():
        return None

    try:
        consent = consent_from(parse_json(path.read_bytes()))
        if not all(map(_is_name, consent.persons.values())):
            raise ValueError("a name is too long, or no text")
        return consent
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({error})", "Remove it and train for a moment with --consent, which writes it anew"
        ) from error


def consent_from(values: Any) -> Consent:
    """From parsed JSON. Raises ValueError if that is no record of consent."""
    try:
        persons, recorded = values["persons"], values["recorded"]
        sound = isinstance(recorded, str) and all(isinstance(word, str) for pair in persons.items() for word in pair)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no record of consent: {error!r}") from error

    if not sound:
        raise ValueError("no record of consent")
    return Consent(persons, recorded)
