"""The seal of every output: content credentials, a signed record of what it was made from, how, by whose consent.

The format is C2PA's (c2pa.org). A file is signed last of all: the signature covers pictures and sound, and whatever
changes those afterwards breaks it; a copy of the streams leaves it out.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from c2pa import Builder, C2paError, C2paSignerInfo, Context, Signer

import faceswap
from faceswap.errors import OutputError
from faceswap.files import beside
from faceswap.provenance.consent import Consent
from faceswap.provenance.credentials import CONSENT, OFFLINE, uninterrupted
from faceswap.provenance.keys import signing_key
from faceswap.provenance.xmp import SOURCE_TYPE, add_source_type

SIGNABLE = (".mp4", ".m4v", ".mov", ".png", ".jpg", ".jpeg")
"""Suffixes of outputs that can hold content credentials: Matroska cannot."""

_INGREDIENT = "source"
_SETTINGS: dict[str, Any] = {"builder": {"thumbnail": {"enabled": False}}, **OFFLINE}


class Sealer:
    """Signs outputs that are made from one input with one model. Raises OutputError if there is no key to sign with."""

    def __init__(self, source: Path | None, consent: Consent | None) -> None:
        """`source`: the input, the outputs' parent; None for what shows a model alone."""
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

        signed = beside(file, ".signed")

        try:
            add_source_type(file, suffix)
            uninterrupted(lambda: self._sign(file, signed, name, suffix[1:]))
            os.replace(signed, file)
        except OSError as error:
            raise OutputError(
                f"{name} cannot be signed ({error.strerror or error})",
                "Check that the disk has space for it twice, then run it again",
            ) from error
        except C2paError as error:
            raise OutputError(
                f"{name} cannot be signed ({error})", f"Check the disk's space and {self._source}, then run it again"
            ) from error
        finally:
            signed.unlink(missing_ok=True)

    def _sign(self, file: Path, signed: Path, name: str, kind: str) -> None:
        with file.open("rb") as unsigned, signed.open("w+b") as out, self._builder(name) as builder:
            chain, key = self._key.chain.encode(), self._key.key.encode()
            builder.sign(Signer.from_info(C2paSignerInfo(b"es256", chain, key, None)), kind, unsigned, out)

    def _builder(self, name: str) -> Builder:
        agent = {"name": "faceswap", "version": faceswap.__version__}

        # What was done, step by step.
        made = {
            "action": "c2pa.edited" if self._source else "c2pa.created",
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": agent,
            "description": "Faces were replaced by ones that a trained network has made",
        }
        watermarked = {"action": "c2pa.watermarked.unbound", "softwareAgent": agent}
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_INGREDIENT]}}
        actions = [opened, made, watermarked] if self._source else [made, watermarked]

        assertions: list[dict[str, Any]] = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]
        if self._consent:
            record = {"persons": self._consent.persons, "recorded": self._consent.recorded}
            assertions.append({"label": CONSENT, "data": record})

        manifest = {"claim_generator_info": [agent], "title": _writable(name), "assertions": assertions}
        builder = Builder.from_json(manifest, context=Context.from_dict(_SETTINGS))
        if self._source:
            self._add_source(builder, self._source)
        return builder

    def _add_source(self, builder: Builder, source: Path) -> None:
        """The input as the parent: with its own credentials, if it has some. Looked at once, however many files."""
        if self._ingredient is None:
            about = {"title": _writable(source.name), "relationship": "parentOf", "label": _INGREDIENT}
            try:
                with source.open("rb") as opened:
                    builder.add_ingredient(about, source.suffix[1:].lower(), opened)
            except (C2paError, IsADirectoryError):
                # A kind of file that C2PA does not know, a damaged record, or a folder: only its name is kept.
                builder.add_ingredient(about, "application/octet-stream", io.BytesIO())

            archive = io.BytesIO()
            builder.write_ingredient_archive(_INGREDIENT, archive)
            self._ingredient = archive.getvalue()
            return

        builder.add_ingredient_from_archive(io.BytesIO(self._ingredient))


def _writable(name: str) -> str:
    """The name without bytes that are no text: file systems allow them, JSON does not."""
    return name.encode("utf-8", "replace").decode()
