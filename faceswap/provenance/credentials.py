"""Content credentials (C2PA, c2pa.org): reading what a file says, under a signature, of its making."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from c2pa import C2paError, Context, Reader

from faceswap.documents import one_line
from faceswap.errors import MediaError
from faceswap.provenance.consent import Consent, consent_from
from faceswap.provenance.keys import known_authorities

CONSENT = "faceswap.consent"
"""The label of the record of consent among what is signed."""
OFFLINE: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""Settings with which nothing is asked of the network."""

TRUSTED, VALID, BROKEN, ELSEWHERE = "trusted", "valid", "broken", "elsewhere"
_STATES = {"Trusted": TRUSTED, "Valid": VALID}
_UNTRUSTED = "signingCredential.untrusted"
_WATERMARKED = "c2pa.watermarked"
_BLOCK = 1 << 20
_LONGEST = 200  # characters of anything that somebody else has written

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a file's content credentials say, and whether they can be believed."""

    state: str
    """TRUSTED: intact, and signed with a key that is known here; VALID: intact, but anybody may have signed it; BROKEN:
    damaged, or the file is not as it was when it was signed; ELSEWHERE: on the network, where they were not fetched."""
    problems: tuple[str, ...] = ()
    """Why they are broken."""
    signer: str = ""
    made_with: str = ""
    """The program that made the file."""
    source_types: tuple[str, ...] = ()
    """What kinds of work went into it and into what it was made from: the last words of IPTC's digital source types."""
    parents: tuple[str, ...] = ()
    """Names of the files that it was made from."""
    marked: bool = False
    """Whether they say that its pictures carry an invisible mark."""
    consent: Consent | None = None
    """That of the persons of the model, if this program made it or what it was made from."""


def read_credentials(file: Path, authorities: str = "") -> Credentials | None:
    """The content credentials of a picture or video; None if it has none, or is of a kind that cannot have any.

    Those that were signed by this user or under one of the `authorities` (certificates, as PEM) are trusted.
    Raises MediaError if the file cannot be read.
    """
    anchors = "".join([*known_authorities(), authorities])
    settings = OFFLINE | ({"trust": {"trust_anchors": anchors}} if anchors else {})

    suffix = file.suffix[1:].lower()
    kind = suffix if suffix in Reader.get_supported_mime_types() else "mp4"  # any will do: it looks at the content

    def read() -> dict[str, Any]:
        with file.open("rb") as opened, Reader(kind, opened, context=Context.from_dict(settings)) as reader:
            found: dict[str, Any] = json.loads(reader.json())
            return found

    try:
        return _credentials(uninterrupted(read))
    except C2paError.ManifestNotFound:
        return None
    except C2paError.RemoteManifest:
        return Credentials(state=ELSEWHERE)
    except C2paError as error:
        # A damaged file without credentials cannot be told from one with damaged credentials but by looking for them.
        return Credentials(state=BROKEN, problems=(_plain(error),)) if _has_a_manifest(file) else None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):  # no text, or not as C2PA says
        return Credentials(state=BROKEN, problems=("they are malformed",))
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def uninterrupted(call: Callable[[], Made]) -> Made:
    """What `call` returns, called in a thread of its own: there no Ctrl-C is raised, which C2PA's library, written in
    another language, would not survive while it reads or writes a file."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def _has_a_manifest(file: Path) -> bool:
    """Whether it holds a box of JUMBF, in which manifests are kept, of C2PA's kind."""
    before = b""
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            joined = before + block
            at = joined.find(b"jumb")
            while at >= 0:
                if b"c2pa" in joined[at : at + 64]:
                    return True
                at = joined.find(b"jumb", at + 4)
            before = joined[-64:]
    return False


def _credentials(found: dict[str, Any]) -> Credentials:
    """From the reader's JSON. Every part is somebody else's claim and may be missing."""
    manifests: dict[str, Any] = found.get("manifests", {})
    active: dict[str, Any] = manifests.get(str(found.get("active_manifest")), {})

    failures = found.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    problems = (one.get("explanation") or one.get("code") for one in failures if one.get("code") != _UNTRUSTED)

    signature, makers = active.get("signature_info", {}), active.get("claim_generator_info") or [{}]
    # This step first, then what it was made from, as far back as the record goes.
    history = [active, *(manifest for manifest in manifests.values() if manifest is not active)]

    return Credentials(
        state=_STATES.get(found.get("validation_state", ""), BROKEN),
        problems=tuple(map(_plain, problems)),
        signer=_plain(signature.get("common_name") or signature.get("issuer") or "a signer without a name"),
        made_with=_plain(f"{makers[0].get('name', '')} {makers[0].get('version', '')}".strip()),
        source_types=tuple(dict.fromkeys(kind for manifest in history for kind in _source_types(manifest))),
        parents=tuple(_plain(one.get("title", "a file without a name")) for one in active.get("ingredients", [])),
        marked=any(_is_marked(manifest) for manifest in history),
        consent=next((consent for manifest in history for consent in _consents(manifest)), None),
    )


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for data in _assertions(manifest, "c2pa.actions"):
        for action in data.get("actions", []):
            if kind := action.get("digitalSourceType"):
                yield _plain(str(kind).rsplit("/", 1)[-1])


def _is_marked(manifest: dict[str, Any]) -> bool:
    actions = (action for data in _assertions(manifest, "c2pa.actions") for action in data.get("actions", []))
    return any(str(action.get("action", "")).startswith(_WATERMARKED) for action in actions)


def _consents(manifest: dict[str, Any]) -> Iterator[Consent]:
    for data in _assertions(manifest, CONSENT):
        try:
            said = consent_from(data)
        except ValueError:
            continue
        yield Consent({_plain(key): _plain(who) for key, who in said.persons.items()}, _plain(said.recorded))


def _assertions(manifest: dict[str, Any], label: str) -> Iterator[dict[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith(label) and isinstance(assertion.get("data"), dict):
            yield assertion["data"]


def _plain(text: object) -> str:
    """Somebody else's words on one line, without characters that steer a terminal."""
    return one_line(str(text)[:_LONGEST])
