"""Spectrum: which numbers of the latent are in use, and how much they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceswap.latent.codes import Pictures
from faceswap.latent.spectrum import ACTIVE, BookUse, Bound, active_units, book_use, evidence, kl_by_number
from faceswap.media.pictures import write_picture
from faceswap.model.folder import read_config
from faceswap.model.variational import Variational
from faceswap.visuals.plots import Bars, bars
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.faces import CodedFaces, LatentInputs, coded_faces


@dataclass(frozen=True, kw_only=True)
class Book:
    """A codebook in use."""

    entries: int
    used: int
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class SpectrumResult:
    """What a latent spends its numbers on."""

    picture: str
    kind: str
    """See `faceswap.config.LATENTS`."""
    numbers: int
    active: int
    """Numbers in use: see `faceswap.latent.spectrum.active_units`."""
    silent: float
    """Share of all values that are exactly zero: what a sparse latent is after."""
    variances: list[float]
    """By number, over all faces."""
    kl: list[float]
    """By number, in nats; empty but for variational latents."""
    books: list[Book]
    """By level; empty but for quantised latents."""
    bounds: dict[str, Bound]
    """By person whom the model draws; empty for latents without a prior."""

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.kind}: {self.active} of {self.numbers} numbers are in use"]

        if self.silent > 0:
            lines.append(f"{self.silent:.0%} of all values are zero")
        if self.kl:
            lines.append(f"KL divergence {sum(self.kl):.1f} nats a face")

        for level, book in enumerate(self.books, 1):
            lines.append(
                f"codebook {level}: {book.used} of {book.entries} entries in use, perplexity {book.perplexity:.0f}"
            )
        for person, bound in self.bounds.items():
            terms = f"likelihood {bound.likelihood:.0f}, code {bound.rate:.0f}"
            lines.append(f"ELBO of {person}: {bound.elbo:.0f} nats a face ({terms})")

        return "\n".join([*lines, f"Look at {self.picture}"])


def spectrum(inputs: LatentInputs, out: Path) -> Run[SpectrumResult]:
    """Measure each number of the latent over the faces, and draw them as bars, the strongest first."""
    coded = yield from coded_faces(inputs)
    yield Progress(title="Measuring", done=0, total=None, unit="")

    model = coded.model
    kl = kl_by_number(model, coded.faces.pictures) if isinstance(model.bottleneck, Variational) else np.zeros(0)
    books = book_use(model, coded.codes)

    result = SpectrumResult(
        picture=str(out),
        kind=model.config.latent,
        numbers=model.bottleneck.length,
        active=active_units(model, coded.codes),
        silent=float((coded.codes == 0).mean()),
        variances=coded.codes.var(axis=0).astype(float).tolist(),
        kl=kl.astype(float).tolist(),
        books=[Book(entries=len(book.counts), used=book.used, perplexity=book.perplexity) for book in books],
        bounds=_bounds(inputs, coded),
    )

    write_picture(out, bars(_panels(result, books), f"{result.kind}: {result.active} of {result.numbers} in use"))
    return result


def _bounds(inputs: LatentInputs, coded: CodedFaces) -> dict[str, Bound]:
    """By person of the model whose faces are given."""
    config = read_config(inputs.model).train
    bounds: dict[str, Bound] = {}

    for person in coded.model.config.persons:
        if person not in coded.names:
            continue
        pictures: Pictures = coded.faces.pictures[coded.of(person)]
        if (bound := evidence(coded.model, pictures, person, config)) is not None:
            bounds[person] = bound
    return bounds


def _panels(result: SpectrumResult, books: list[BookUse]) -> list[Bars]:
    """What there is to see of this kind of latent; everything sorted, the strongest first."""
    below = "numbers of the latent, the strongest first"
    limit = ACTIVE if result.kl else None
    panels = [Bars(title="variance over faces", heights=_descending(result.variances), below=below, line=limit)]

    if result.kl:
        panels.append(Bars(title="KL divergence, nats", heights=_descending(result.kl), below=below))
    for level, book in enumerate(books, 1):
        title = f"codebook {level}: how often each entry is used"
        panels.append(Bars(title=title, heights=_descending(book.counts), below="entries, the most used first"))

    return panels


def _descending(values: object) -> np.ndarray:
    return np.sort(np.asarray(values, float))[::-1]
