"""Content credentials (C2PA, c2pa.org): reading what a file says, under a signature, of its making."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2pa import C2paError, Context, Reader

from faceswap.errors import MediaError
from faceswap.provenance.consent import Consent, consent_from
from faceswap.provenance.keys import known_keys

CONSENT = "faceswap.consent"
"""The label of the record of consent among what is signed."""
OFFLINE: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""Settings with which nothing is asked of the network."""

TRUSTED, VALID, BROKEN = "trusted", "valid", "broken"
_STATES = {"Trusted": TRUSTED, "Valid": VALID}


@dataclass(frozen=True)
class Credentials:
    """What a file's content credentials say, and whether they can be believed."""

    state: str
    """TRUSTED: intact, and signed with a key that is known here; VALID: intact, but anybody may have signed it; BROKEN:
    the file is not as it was when it was signed, or the record itself is damaged."""
    problems: tuple[str, ...] = ()
    """Why they are broken."""
    signer: str = ""
    made_with: str = ""
    """The program that made the file."""
    source_types: tuple[str, ...] = ()
    """What kinds of work went into it: the last words of IPTC's digital source types."""
    parents: tuple[str, ...] = ()
    """Names of the files that it was made from."""
    consent: Consent | None = None
    """That of the persons of the model, if this program made it."""


def read_credentials(file: Path, authorities: str = "") -> Credentials | None:
    """The content credentials of a picture or video; None if it has none, or is of a kind that cannot have any.

    Those that were signed by this user or under one of the `authorities` (certificates, as PEM) are trusted.
    Raises MediaError if the file cannot be read.
    """
    anchors = "".join([key.authority for key in known_keys()] + [authorities])
    trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
    kind = file.suffix[1:].lower()
    if kind not in Reader.get_supported_mime_types():
        return None
    try:
        with file.open("rb") as opened, Reader(kind, opened, context=Context.from_dict(OFFLINE | trust)) as reader:
            return _credentials(json.loads(reader.json()))
    except C2paError.ManifestNotFound:
        return None
    except C2paError as error:
        # A damaged file without credentials cannot be told from one with damaged credentials but by looking for them.
        return Credentials(BROKEN, (str(error),)) if _mentions_credentials(file) else None
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def _mentions_credentials(file: Path) -> bool:
    with file.open("rb") as opened:
        return any(b"c2pa" in block for block in iter(lambda: opened.read(1 << 20), b""))


def _credentials(found: dict[str, Any]) -> Credentials:
    """From the reader's JSON. Every part is somebody else's claim and may be missing."""
    manifest: dict[str, Any] = found.get("manifests", {}).get(found.get("active_manifest"), {})
    failures = found.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    problems = tuple(
        str(failure.get("explanation") or failure.get("code"))
        for failure in failures
        if failure.get("code") != "signingCredential.untrusted"
    )
    signature, makers = manifest.get("signature_info", {}), manifest.get("claim_generator_info") or [{}]
    return Credentials(
        _STATES.get(found.get("validation_state", ""), BROKEN),
        problems,
        str(signature.get("common_name") or signature.get("issuer") or "a signer without a name"),
        f"{makers[0].get('name', '')} {makers[0].get('version', '')}".strip(),
        tuple(dict.fromkeys(_source_types(manifest))),
        tuple(str(one.get("title", "a file without a name")) for one in manifest.get("ingredients", [])),
        _consent(manifest),
    )


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for data in _assertions(manifest, "c2pa.actions"):
        for action in data.get("actions", []):
            if kind := action.get("digitalSourceType"):
                yield str(kind).rsplit("/", 1)[-1]


def _consent(manifest: dict[str, Any]) -> Consent | None:
    for data in _assertions(manifest, CONSENT):
        try:
            return consent_from(data)
        except ValueError:
            continue
    return None


def _assertions(manifest: dict[str, Any], label: str) -> Iterator[dict[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith(label) and isinstance(assertion.get("data"), dict):
            yield assertion["data"]
