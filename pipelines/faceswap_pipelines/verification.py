"""Verify: what a file says of its making. For every file, made by this program or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from faceswap.documents import one_line
from faceswap.errors import ConfigError, MediaError
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import read_picture
from faceswap.media.video import sample_frames
from faceswap.provenance.credentials import BROKEN, ELSEWHERE, TRUSTED, VALID, Credentials, read_credentials
from faceswap.provenance.unsigned import unsigned_bytes
from faceswap.provenance.watermark import LARGEST, Mark, detect_watermark
from faceswap.provenance.xmp import read_source_type
from faceswap.types import Picture
from faceswap_pipelines.common.progress import Progress, Run

_FRAMES = 32  # of a video, evenly spaced, that are searched for the mark together
_INTACT = (TRUSTED, VALID)
_SYNTHETIC = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What one file says."""

    file: str
    says_ai: bool
    """Whether anything in it says that a trained network made or changed it."""
    credentials: Credentials | None
    """None: it has no content credentials."""
    declared: str
    """IPTC's digital source type that its XMP gives, such as "trainedAlgorithmicMedia"; "" if none."""
    mark: Mark | None
    """What was found of this program's invisible mark; None: its pictures cannot be read."""
    problem: str = ""
    """Why they cannot."""
    unsigned: int = 0
    """Bytes that lie outside of what intact credentials cover: no picture or sound, but anybody may have put them
    there."""


def verify(files: Sequence[Path], authorities: str = "") -> Run[list[VerifyReport]]:
    """Look at each file. `authorities`: certificates, as PEM, of signers to trust besides this user."""
    reports = []
    for number, file in enumerate(files):
        yield Progress(title="Looking", done=number, total=len(files), unit="files", note=file.name)
        reports.append(_report(file, authorities))
    return reports


def _report(file: Path, authorities: str) -> VerifyReport:
    mark, problem = None, ""

    try:
        mark = detect_watermark(_pictures(file))
    except MediaError as error:
        problem = str(error)
        if not file.is_file():  # a pipe, for example, from which nothing may ever come
            return VerifyReport(
                file=str(file), says_ai=False, credentials=None, declared="", mark=None, problem=problem
            )

    try:  # whatever its pictures are like
        credentials, declared = read_credentials(file, authorities), read_source_type(file)
    except MediaError as error:
        credentials, declared, problem = None, "", problem or str(error)

    unsigned = unsigned_bytes(file) if credentials and credentials.state in _INTACT else 0
    said = {declared, *(credentials.source_types if credentials else ())}
    says_ai = (mark is not None and mark.found) or not said.isdisjoint(_SYNTHETIC)

    return VerifyReport(
        file=str(file),
        says_ai=says_ai,
        credentials=credentials,
        declared=declared,
        mark=mark,
        problem=problem,
        unsigned=unsigned,
    )


def _pictures(file: Path) -> Iterator[Picture]:
    """One at a time: those of a large video would fill the memory."""
    if is_picture(file):
        yield read_picture(file, middle=LARGEST)
        return

    frames = sample_frames(file, _FRAMES)
    first = next(frames, None)
    if first is None:
        raise MediaError(f"{file} has no pictures", "Copy or download it again")

    yield first.image
    yield from (frame.image for frame in frames)


def read_authority(file: Path | None) -> str:
    """The certificates in a PEM file; "" without one. Raises ConfigError."""
    if file is None:
        return ""

    try:
        text = file.read_text(encoding="ascii")
        x509.load_pem_x509_certificates(text.encode())
        return text
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read ({error})", "Name a PEM file with certificates") from error


def in_words(report: VerifyReport) -> str:
    """The report for people: the verdict first, then what it stands on."""
    verdict = "modified or made by AI" if report.says_ai else "says nothing of AI"

    lines = [f"{one_line(report.file)}: {verdict}", *_credentials_in_words(report.credentials)]
    if report.unsigned:
        lines.append(f"    outside of what is signed: {report.unsigned} bytes, which anybody may have added")
    lines += [
        f"  invisible mark: {_mark_in_words(report.mark, report.credentials)}",
        f"  declared in its metadata: {report.declared or 'nothing'}",
    ]

    if report.problem:
        lines.append(f"  its pictures cannot be read: {one_line(report.problem)}")
    if not report.says_ai:
        lines.append("  That does not show that it is genuine: marks can be lost, and other programs leave none.")

    return "\n".join(lines)


def _mark_in_words(mark: Mark | None, credentials: Credentials | None) -> str:
    """The mark is no secret: that a picture had it when it was made is proved only by who has signed that."""
    is_signed = credentials is not None and credentials.marked and credentials.state in _INTACT

    if mark is None:
        return "not looked for"
    if not mark.found:
        return "not found, though the credentials say that it was made with one" if is_signed else "not found"

    resized = f", after resizing to {mark.scale:.0%}" if abs(mark.scale - 1) > 0.01 else ""
    proof = "and the credentials say so, too" if is_signed else "a claim, not a proof: anybody can add it"
    return f"found, with a chance of a mistake below one in a million{resized}; {proof}"


def _credentials_in_words(credentials: Credentials | None) -> list[str]:
    if credentials is None:
        return ["  content credentials: none"]

    if credentials.state == ELSEWHERE:
        return ["  content credentials: kept on the network, and not fetched"]

    if credentials.state == BROKEN:
        why = "; ".join(credentials.problems) or "no reason is given"
        lines = [f"  content credentials: BROKEN: the file was changed since, or they are damaged ({why})"]
    else:
        known = "by a signer known here" if credentials.state == TRUSTED else "by a signer who is not known here"
        lines = [f"  content credentials: intact, signed {known} ({credentials.signer})"]

    if credentials.made_with:
        lines.append(f"    made with {credentials.made_with}")
    if credentials.parents:
        lines.append(f"    from {', '.join(credentials.parents)}")
    if credentials.source_types:
        lines.append(f"    kind of work: {', '.join(credentials.source_types)}")

    if credentials.consent or credentials.made_with.startswith("faceswap "):
        words = credentials.consent.in_words() if credentials.consent else "none on record"
        lines.append(f"    consent: {words}")

    return lines
