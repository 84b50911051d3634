"""How fast frames are converted, where the time goes, and whether the result is as calm as the video was.

    uv run python tests/benchmarks/swapping.py MODEL VIDEO [--to b] [--frames 250]

Prints, for the machine it runs on:
- milliseconds of processor time for cutting out, fitting and pasting one face 300 px high, without the network, in 720p
  and in 1080p, beside a rendition of full-frame compositing (warp the face to the frame, blend all pixels in float), as
  the known tools do it;
- frames per second of `faceswap swap` on VIDEO as it is, enlarged to 1280x720, and in 1920x1080 with a face 500 px
  high: whole, beside the same model without its detail stage, and beside decoding and encoding alone;
- where the time goes;
- how much more the swapped face trembles than the one in the video, and how much more its colour varies: ratios, 1 is
  as calm as the video; and how many pixels outside the pasted boxes have changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from record import Table, add_record_option, record

from faceswap.config import SwapConfig
from faceswap.faces.align import align, crop_transform
from faceswap.faces.examples import examples_file, read_examples
from faceswap.faces.landmarks import FaceMesh
from faceswap.faces.selection import Selection, selected_faces
from faceswap.faces.skin import read_skins, skin_file
from faceswap.faces.trackfile import TrackFile
from faceswap.geometry import Similarity
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import open_writer, write_clip
from faceswap.model.detail import is_detail
from faceswap.model.folder import create_model_folder, load_model, read_config
from faceswap.streams import batched
from faceswap.swapping.color import to_lab
from faceswap.swapping.convert import Converted, Target, batch_size, converted
from faceswap.swapping.infer import Swapper
from faceswap.training.checkpoint import save_checkpoint
from faceswap.training.state import Budget, start_training
from faceswap.types import Face, Frame, Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse, followed_frames
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping.job import SwapJob, SwapSettings
from faceswap_pipelines.swapping.run import swap

Roles = list[tuple[Frame, list[Target]]]

_FACE = 300  # pixels
_LARGE_FACE = 500  # in the largest film
_SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
_CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--to", default="b")
    parser.add_argument("--frames", type=int, default=250)
    add_record_option(parser)
    arguments = parser.parse_args()

    keep_freed_memory()
    network = load_model(arguments.model, _CPU)
    swapper = Swapper(network, read_skins(arguments.model), read_examples(arguments.model))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = follow(arguments.video, arguments.frames, arguments.to, folder)
        tables = [compositing(targets, swapper)]
        tables.append(whole_swaps(arguments.model, arguments.video, arguments.to, targets, folder))
    tables += [where_time_goes(targets, swapper), calmness(targets, swapper)]

    print(*tables, sep="\n\n")
    record(arguments.record, tables)


def follow(video: Path, frames: int, person: str, folder: Path) -> Roles:
    """The video's first frames with the face that is seen most."""
    with TrackFile(folder / "follow.tracks.db") as tracks:
        analysis = run(analyse(Footage(path=video, frames=(0, frames)), tracks, FaceFinder(_CPU)))
        part = Selection((tracks.tracks(analysis)[0].number,), person)
        followed = followed_frames(Footage(path=video, frames=(0, frames)), tracks, analysis, 0)
        return [(frame, [Target(*pair) for pair in selected_faces([part], faces.faces)]) for frame, faces in followed]


def compositing(targets: Roles, swapper: Swapper) -> Table:
    rows = []
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name, (width, height) in _SIZES.items():
        placed = [place(frame, some[0], width, height) for frame, some in targets if some][:64]
        whole = best(lambda placed=placed: sum(1 for _ in converted(placed, swapper, SwapConfig())))
        network = best(lambda placed=placed: through_network(placed, swapper))
        ours = (whole - network) / len(placed) * 1e3
        full = best(lambda placed=placed: [full_frame(frame, some[0].face, swapper.size) for frame, some in placed])
        theirs = full / len(placed) * 1e3
        rows.append([name, ours, theirs, theirs / ours])

    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
    columns = {"cut, fit, paste": ".1f", "full-frame compositing": ".1f", "ratio": ".1f"}
    return Table({f"one face of {_FACE} px, ms of one core": "", **columns}, rows)


def place(frame: Frame, role: Target, width: int, height: int, high: float = _FACE) -> tuple[Frame, list[Target]]:
    """The face, `high` px high, in the middle of a frame of another size."""
    scale = high / role.face.size
    left, top, right, bottom = role.face.box
    shift = Similarity(1, 0, width / 2 - (left + right) / 2 * scale, height / 2 - (top + bottom) / 2 * scale)
    move = Similarity(scale, 0, 0, 0).then(shift)
    image = cv2.warpAffine(frame.image, move.matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    moved = Face(role.face.points_after(move), role.face.presence, role.face.track)
    return Frame(image.astype(np.uint8), frame.index, frame.time), [Target(moved, role.person)]


@torch.inference_mode()
def through_network(targets: Roles, swapper: Swapper) -> None:
    """The network's share of the work: as many faces, of the same sizes, in the same batches."""
    height, width = targets[0][0].image.shape[:2]
    for some in batched(targets, batch_size(width, height)):
        faces = [align(frame.image, role.face, swapper.size) for frame, here in some for role in here]
        if faces:
            pictures = torch.rand(len(faces), 3, swapper.size, swapper.size)
            swapper._decode(pictures, [(face, swapper.persons[1]) for face in faces], features=0.0)


def full_frame(frame: Frame, face: Face, size: int) -> Picture:
    """What tools do that know no box: cut out, warp face and mask to the whole frame, match means, blend, in float."""
    height, width = frame.image.shape[:2]
    to_crop = crop_transform(face.points, size)
    crop = cv2.warpAffine(frame.image, to_crop.matrix, (size, size)).astype(np.float32)
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, size // 2), (size // 3, size // 2 - 4), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), size / 32)
    back = to_crop.inverse().matrix
    made = cv2.warpAffine(crop, back, (width, height), flags=cv2.INTER_CUBIC)
    alpha = cv2.warpAffine(mask, back, (width, height))[..., None]
    image = frame.image.astype(np.float32)
    made += (image * alpha).sum((0, 1)) / alpha.sum() - (made * alpha).sum((0, 1)) / alpha.sum()
    mixed: Picture = np.clip(image * (1 - alpha) + made * alpha, 0, 255).astype(np.uint8)
    return mixed


def whole_swaps(model: Path, video: Path, person: str, targets: Roles, folder: Path) -> Table:
    info, frames = probe(video), len(targets)
    clips = {f"{info.width}x{info.height}": video}
    for width, height, face in ((1280, 720, None), (1920, 1080, _LARGE_FACE)):
        clips[f"{width}x{height}"] = clip = folder / f"{height}p.mp4"
        high = face or np.median([some[0].face.size for _, some in targets if some]) * height / info.height
        write_clip(clip, (enlarged(frame, here, width, height, high) for frame, here in targets), info.frame_rate)
    coarse = without_detail(model, folder / "coarse")

    rows = []
    for name, clip in clips.items():
        rates = []
        for which in (model, coarse):
            job = SwapJob(
                video=clip,
                model=which,
                out=folder / "swapped.mp4",
                settings=SwapSettings(to=(person,)),
                frames=(0, frames),
                overwrite=True,
            )
            for tracks in folder.glob("*.tracks.db*"):
                tracks.unlink()
            rates.append([frames / timed(lambda job=job: run(swap(job))) for _ in ("faces found", "faces known")])
        pairs = [value for pair in zip(*rates, strict=True) for value in pair]
        copied = frames / timed(lambda clip=clip: copy(clip, folder / "copy.mp4", frames))
        rows.append([name, *pairs, copied])

    columns = [
        "finding faces: swap",
        "finding faces: without the detail stage",
        "faces known: swap",
        "faces known: without the detail stage",
        "decode and encode alone",
    ]
    return Table({"frames/s": "", **dict.fromkeys(columns, ".1f")}, rows)


def without_detail(model: Path, out: Path) -> Path:
    """The same model as it would be without its detail stage, skin and examples."""
    shutil.copytree(model, out)
    for file in (skin_file(out), examples_file(out)):
        file.unlink(missing_ok=True)
    shutil.rmtree(out / "checkpoint")
    known = read_config(model)
    config = dataclasses.replace(known.model, detail=0)
    create_model_folder(out, config, known.train)
    state = start_training(config, known.train, _CPU)
    weights = load_model(model, _CPU).state_dict()
    state.average.load_state_dict({name: value for name, value in weights.items() if not is_detail(name)})
    state.step = 1
    save_checkpoint(out, state, Budget(steps=1))
    return out


def enlarged(frame: Frame, targets: list[Target], width: int, height: int, face: float) -> Picture:
    """The frame with its face so many pixels high, in the middle of a larger one."""
    if targets:
        return place(frame, targets[0], width, height, face)[0].image
    return cv2.resize(frame.image, (width, height)).astype(np.uint8)


def copy(video: Path, out: Path, frames: int) -> None:
    with open_writer(out, probe(video), signature=str(time.monotonic())) as writer:
        for frame in read_frames(video, 0, frames):
            writer.write(frame.image, frame.time)


def where_time_goes(targets: Roles, swapper: Swapper) -> Table:
    """Milliseconds of a frame by what they are spent on, by switching parts off."""
    config = SwapConfig()
    look: dict[str, float | str] = {"blending": "alpha", "colour": "none"}
    look |= dict.fromkeys(("sharpen", "grain", "skin", "features", "gaze", "smooth", "occlusion"), 0.0)
    steps = [("cut out, decode, paste", look)]
    for name, *switched_on in (
        ("colour", "colour"),
        ("seam", "blending"),
        ("sharpness, grain", "sharpen", "grain"),
        ("skin", "skin"),
        ("eyes and mouth from examples", "features"),
        ("gaze", "gaze"),
        ("what lies in front", "occlusion"),
        ("settling over time", "smooth"),
    ):
        look = look | {setting: getattr(config, setting) for setting in switched_on}
        steps.append((f"+ {name}", look))

    network = best(lambda: through_network(targets, swapper)) / len(targets)
    rows: list[list[str | float]] = [["network alone", network * 1e3]]
    for name, changes in steps:
        config = SwapConfig(**changes)  # type: ignore[arg-type]  # each value fits its field
        seconds = best(lambda config=config: sum(1 for _ in converted(targets, swapper, config)))
        rows.append([name, seconds / len(targets) * 1e3])
    return Table({"all cores": "", "ms a frame": ".1f"}, rows)


def calmness(targets: Roles, swapper: Swapper) -> Table:
    made = list(converted(targets, swapper, SwapConfig()))
    single = list(converted(targets, swapper, SwapConfig(smooth=0)))
    mesh = FaceMesh(_CPU)
    faces = [some[0].face for _, some in targets if some]
    before = trembling(mesh, [m.frame.image for m in made if m.boxes], faces)

    rows: list[list[str | float]] = []
    for name, some in (("settled over time", made), ("each frame for itself", single)):
        after = trembling(mesh, [m.image for m in some if m.boxes], faces)
        colours = [wandering([getter(m) for m in some if m.boxes], faces) for getter in (_after, _before)]
        changed = sum(outside_changed(m) for m in some)
        rows.append([name, after / before, colours[0] / colours[1], changed])

    columns = {"landmarks' second difference": ".2f", "variation of colour": ".2f", "pixels outside the boxes": ""}
    return Table({"against the video": "", **columns}, rows)


def _after(made: Converted) -> Picture:
    return made.image


def _before(made: Converted) -> Picture:
    return made.frame.image


def trembling(mesh: FaceMesh, images: Sequence[Picture], faces: Sequence[Face]) -> float:
    """Root mean square of the second difference over time of all landmarks, in shares of the face's size."""
    found = mesh.locate_each(list(zip(images, faces, strict=True)))
    points = np.stack([face.points[:, :2] / old.size for face, old in zip(found, faces, strict=True)])
    return float(np.sqrt((np.diff(points, n=2, axis=0) ** 2).mean()))


def wandering(images: Sequence[Picture], faces: Sequence[Face]) -> float:
    """Root mean square of the frame-to-frame change of the mean Lab colour of the face's middle."""
    means = []
    for image, face in zip(images, faces, strict=True):
        left, top, right, bottom = face.box
        x, y = (right - left) / 4, (bottom - top) / 4
        patch = image[int(top + y) : int(bottom - y), int(left + x) : int(right - x)]
        means.append(to_lab(torch.from_numpy(patch.reshape(-1, 3)).float() / 255).mean(0).numpy())
    return float(np.sqrt((np.diff(np.stack(means), axis=0) ** 2).sum(1).mean()))


def outside_changed(made: Converted) -> int:
    changed = (made.image != made.frame.image).any(axis=2)
    for left, top, right, bottom in made.boxes:
        changed[top:bottom, left:right] = False
    return int(changed.sum())


def best(work: Callable[[], object], times: int = 3) -> float:
    work()
    return min(timed(work) for _ in range(times))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
