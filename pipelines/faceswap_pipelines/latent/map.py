"""Map: all faces on a plane, so that one sees what lies next to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from faceswap.latent.codes import Codes
from faceswap.latent.faces import FACTORS
from faceswap.latent.projection import Map, manifold_map, neighbour_map, principal_components, principal_map
from faceswap.media.pictures import write_picture
from faceswap.types import Picture
from faceswap.visuals.plots import Colouring, ThumbnailMap, scatter_panels, thumbnail_map
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.faces import CodedFaces, LatentInputs, coded_faces

LAYOUTS = {"PCA": principal_map, "t-SNE": neighbour_map, "UMAP": manifold_map}
"""By name, how faces are laid out; UMAP is an extra, to be installed."""
USUAL = ("PCA", "t-SNE")

_SIDE = 800  # pixels of a map with thumbnails
_BAND = 36  # pixels above it, for its title
_INK = (40, 40, 44)
_TOLD = 10  # principal components whose shares are told


@dataclass(frozen=True, kw_only=True)
class MapResult:
    """Where the map is, and what can be said of it in figures."""

    picture: str
    faces: dict[str, int]
    """By name."""
    explained: list[float]
    """Share of all variance along each of the first principal components, 0..1."""
    components_for_90: int
    """How many components hold nine tenths of the variance."""

    @property
    def text(self) -> str:
        """For people."""
        counts = ", ".join(f"{count} of {name}" for name, count in self.faces.items())
        shares = ", ".join(f"{share:.0%}" for share in self.explained[:5])
        return (
            f"Faces: {counts}. The first principal components hold {shares} of the variance;"
            f" {self.components_for_90} hold 90%. Look at {self.picture}"
        )


def map_faces(inputs: LatentInputs, out: Path, layouts: Sequence[str] = USUAL) -> Run[MapResult]:
    """Lay all faces out by some of LAYOUTS, coloured by person, pose, mouth, brightness and time.

    Raises ConfigError for a layout that is not installed.
    """
    coded = yield from coded_faces(inputs)
    places = {}
    for done, name in enumerate(layouts):
        yield Progress(title="Laying faces out", done=done, total=len(layouts), unit="maps", note=name)
        places[name] = laid_out(coded.codes, name)

    # Thumbnails above, one panel for each colouring below.
    large = [_titled(faces_on(coded, layout).picture, name) for name, layout in places.items()]
    panels = scatter_panels(places, colourings(coded), _SIDE * len(large))
    write_picture(out, np.vstack([np.hstack(large), _fitted(panels, _SIDE * len(large))]))

    with threadpool_limits(1):
        explained = principal_components(coded.codes, len(coded.codes)).explained
    return MapResult(
        picture=str(out),
        faces={name: len(coded.of(name)) for name in coded.names},
        explained=[float(share) for share in explained[:_TOLD]],
        components_for_90=int(np.searchsorted(np.cumsum(explained), 0.9) + 1),
    )


def laid_out(codes: Codes, layout: str) -> Map:
    """Where the faces lie, by one of LAYOUTS; on one thread, since several would wait for each other."""
    with threadpool_limits(1):
        return LAYOUTS[layout](codes)


def faces_on(coded: CodedFaces, places: Map, side: int = _SIDE) -> ThumbnailMap:
    """The faces where a layout has put them, as far as there is room for them."""
    return thumbnail_map(places, coded.persons, coded.faces.pictures, side)


def colourings(coded: CodedFaces) -> list[Colouring]:
    """By person, by what a face does and in what light, by when it was seen."""
    by_person = Colouring(title="person", values=coded.persons.astype(float), names=coded.names)
    by_factor = [Colouring(title=name, values=coded.faces.measures[name]) for name in FACTORS]
    return [by_person, *by_factor, Colouring(title="time", values=coded.faces.seconds)]


def _titled(picture: Picture, title: str) -> Picture:
    """The picture under a band with its title."""
    band = np.full((_BAND, picture.shape[1], 3), picture[0, 0], np.uint8)
    place = (12, _BAND - 10)
    titled = cv2.putText(band, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, _INK, 2, cv2.LINE_AA)
    return np.vstack([titled, picture])


def _fitted(picture: Picture, width: int) -> Picture:
    """The same `width` px wide: a figure's width is rounded."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
