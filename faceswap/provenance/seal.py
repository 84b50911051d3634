"""The seal of every output: content credentials, a signed record of what it was made from, how, by whose consent.

The format is C2PA's (c2pa.org). A file is signed last of all: the signature covers every byte, and whatever changes the
file afterwards, be it a copy of its streams, breaks it or leaves it out.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from c2pa import Builder, C2paError, C2paSignerInfo, Context, Signer

import faceswap
from faceswap.errors import OutputError
from faceswap.provenance.consent import Consent
from faceswap.provenance.credentials import CONSENT, OFFLINE
from faceswap.provenance.keys import signing_key
from faceswap.provenance.xmp import SOURCE_TYPE, add_source_type

SIGNABLE = (".mp4", ".m4v", ".mov", ".png", ".jpg", ".jpeg")
"""Suffixes of outputs that can hold content credentials: Matroska cannot."""

_INGREDIENT = "source"
_SETTINGS: dict[str, Any] = {"builder": {"thumbnail": {"enabled": False}}, **OFFLINE}


class Sealer:
    """Signs outputs that are made from one input with one model. Raises OutputError if there is no key to sign with."""

    def __init__(self, source: Path, consent: Consent | None) -> None:
        self._source = source
        self._consent = consent
        self._key = signing_key()
        self._ingredient: bytes | None = None

    def __call__(self, file: Path, name: str) -> None:
        """Seal the finished `file` before it gets its `name`, whose suffix says what it is: XMP, then the signature.

        One of a kind that cannot be signed stays as it is. Raises OutputError; the file is not usable then.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in SIGNABLE:
            return
        signed = file.with_name(f"{file.name}.signed")
        try:
            add_source_type(file, suffix)
            with file.open("rb") as unsigned, signed.open("w+b") as out, self._builder(name) as builder:
                key = self._key
                signer = Signer.from_info(C2paSignerInfo(b"es256", key.chain.encode(), key.key.encode(), None))
                builder.sign(signer, suffix[1:], unsigned, out)
            os.replace(signed, file)
        except (OSError, C2paError) as error:
            signed.unlink(missing_ok=True)
            raise OutputError(
                f"{name} cannot be signed ({error})", "Check that the disk has space for it twice, then run it again"
            ) from error

    def _builder(self, name: str) -> Builder:
        agent = {"name": "faceswap", "version": faceswap.__version__}
        edited = {
            "action": "c2pa.edited",
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": agent,
            "description": "Faces were replaced by ones that a trained network has made",
        }
        watermarked = {"action": "c2pa.watermarked.unbound", "softwareAgent": agent}
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_INGREDIENT]}}
        assertions: list[dict[str, Any]] = [
            {"label": "c2pa.actions.v2", "data": {"actions": [opened, edited, watermarked]}}
        ]
        if self._consent:
            record = {"persons": self._consent.persons, "recorded": self._consent.recorded}
            assertions.append({"label": CONSENT, "data": record})
        manifest = {"claim_generator_info": [agent], "title": name, "assertions": assertions}
        builder = Builder.from_json(manifest, context=Context.from_dict(_SETTINGS))
        self._add_source(builder)
        return builder

    def _add_source(self, builder: Builder) -> None:
        """The input as the parent: with its own credentials, if it has some. Looked at once, however many files."""
        if self._ingredient is None:
            about = {"title": self._source.name, "relationship": "parentOf", "label": _INGREDIENT}
            try:
                with self._source.open("rb") as source:
                    builder.add_ingredient(about, self._source.suffix[1:].lower(), source)
            except C2paError:  # a kind of file that C2PA does not know, or a damaged record: only its name is kept
                builder.add_ingredient(about, "application/octet-stream", io.BytesIO())
            archive = io.BytesIO()
            builder.write_ingredient_archive(_INGREDIENT, archive)
            self._ingredient = archive.getvalue()
            return
        builder.add_ingredient_from_archive(io.BytesIO(self._ingredient))
