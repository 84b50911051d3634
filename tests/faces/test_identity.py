"""Who a face is: equal to the original network, and truthful about actors.

`data/identity_reference.npz` holds 150 px chips (four actors, noise, black) and dlib 20.0.1's own descriptors of them
(`compute_face_descriptor`, no jitter).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from faceswap.faces.identity import (
    CHIP_SIZE,
    EMBEDDING,
    SAME_PERSON,
    TEMPLATE,
    Identifier,
    chip_transform,
    distance,
    load_identity_network,
    typical,
)
from faceswap.types import Picture
from faceswap_pipelines.demo.actors import CAST, LEADS, Rendering, Stage, perform

PARITY = 0.005
"""Euclidean; the float16 weights reach 0.001 on faces, 0.004 on the black chip."""

Faces = list[tuple[Picture, np.ndarray]]


def face(rendering: Rendering) -> tuple[Picture, np.ndarray]:
    return rendering.image, rendering.landmarks.astype(np.float64)


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier()


@pytest.fixture(scope="module")
def takes() -> dict[str, Faces]:
    """Ten frames of each actor, spread over a clip of five seconds."""
    stages = {name: Stage(actor) for name, actor in CAST.items()}
    return {
        name: [face(stage.render(perform(13 * i + 1, seed=1))) for i in range(10)] for name, stage in stages.items()
    }


@pytest.fixture(scope="module")
def embeddings(identifier: Identifier, takes: dict[str, Faces]) -> dict[str, np.ndarray]:
    return {name: identifier.embed(faces) for name, faces in takes.items()}


def test_equals_the_original_network() -> None:
    with np.load(Path(__file__).parents[1] / "data" / "identity_reference.npz", allow_pickle=False) as reference:
        chips = torch.from_numpy(reference["chips"]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found = load_identity_network(torch.device("cpu"))(chips)
        assert np.linalg.norm(found.numpy() - reference["embeddings"], axis=1).max() < PARITY


def test_no_faces_no_embeddings(identifier: Identifier) -> None:
    assert identifier.embed([]).shape == (0, EMBEDDING)


def test_any_number_of_faces_gives_what_single_ones_give(identifier: Identifier, takes: dict[str, Faces]) -> None:
    faces = [*takes["ada"], *takes["carl"]]  # more than one batch of the network's
    faces[1] = (np.ascontiguousarray(faces[1][0][:230]), faces[1][1])  # of another size
    together = identifier.embed(faces)
    assert together.shape == (20, EMBEDDING)
    for at in (0, 1, 15, 16, 19):
        assert np.allclose(identifier.embed([faces[at]])[0], together[at], atol=1e-5)


def test_each_actor_is_nearest_to_themselves(embeddings: dict[str, np.ndarray]) -> None:
    known = {name: typical(seen[::2]) for name, seen in embeddings.items()}
    for name, seen in embeddings.items():
        again = typical(seen[1::2])
        nearest = min(known, key=lambda other: distance(known[other], again))
        assert nearest == name
        others = min(distance(known[other], again) for other in known if other != name)
        assert distance(known[name], again) < 0.15 < 0.25 < others


def test_a_chip_has_the_five_points_where_the_template_says() -> None:
    five = TEMPLATE * 400 + [30, -8]
    assert np.allclose(chip_transform(five).apply(five), TEMPLATE * CHIP_SIZE - 0.5)


def test_a_chip_that_is_off_by_three_pixels_changes_little(identifier: Identifier, takes: dict[str, Faces]) -> None:
    faces = takes[LEADS[0].name][:2]
    straight = identifier.embed(faces)
    for shift in ([3, 0], [0, 3]):
        moved = [(image, five + np.array(shift) / chip_transform(five).scale) for image, five in faces]
        assert np.linalg.norm(identifier.embed(moved) - straight, axis=1).max() < SAME_PERSON / 2


def test_the_typical_embedding_does_not_mind_strangers(embeddings: dict[str, np.ndarray]) -> None:
    host, guest = (embeddings[actor.name] for actor in LEADS)
    mixed = np.concatenate([guest[:3], host])
    assert distance(typical(mixed), typical(host)) < 0.1 < distance(mixed.mean(axis=0), typical(host))
    assert np.array_equal(typical(host[:1]), host[0])
