"""The same code on CUDA: training, checkpoints that move between devices, swapping."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceswap.config import COLOURS, LATENTS, ModelConfig, SwapConfig, TrainConfig
from faceswap.geometry import Similarity
from faceswap.model.folder import create_model_folder, load_model
from faceswap.model.swap_model import build_model
from faceswap.swapping.convert import Target, converted
from faceswap.swapping.infer import Swapper
from faceswap.training.bank import Bank, Sample
from faceswap.training.checkpoint import load_checkpoint, save_checkpoint
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train
from faceswap.types import AlignedFace, Frame
from support.heads import head

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

SETTINGS = TrainConfig(batch_size=8)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("latent", LATENTS)
def test_training_on_the_gpu_learns_and_its_model_swaps_alike_on_both_devices(
    latent: str, compiled: bool, tmp_path: Path
) -> None:
    if compiled:
        pytest.importorskip("triton")
        torch.compiler.reset()
    config = ModelConfig(persons=("a", "b"), latent=latent)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    yy, xx = np.mgrid[0:96, 0:96] / 96
    faces = [np.dstack([200 * xx, 200 * yy, 100 + 60 * np.sin(9 * xx + i)]).astype(np.uint8) for i in range(12)]
    mask = np.full((96, 96), 255, np.uint8)
    planes = torch.stack([Sample(face, mask, mask).planes() for face in faces])
    banks = {p: Bank(planes, 64, SETTINGS, i, 0, gpu) for i, p in enumerate("ab")}
    state, budget = start_training(config, SETTINGS, gpu, compiled=compiled), Budget(steps=80)
    totals = [
        sum(float(loss.total) for loss in metrics.losses.values())
        for metrics in train(state, coarse_only(state.model.config, banks), budget)
    ]
    for bank in banks.values():
        bank.close()
    assert np.mean(totals[-5:]) < 0.5 * np.mean(totals[:5])

    create_model_folder(tmp_path, config, SETTINGS)
    save_checkpoint(tmp_path, state, budget)
    loaded = load_checkpoint(tmp_path, cpu)
    assert loaded is not None
    assert loaded[0].step == 80
    face = head(Similarity(17.6, 0.0, 31.5, 26.4))
    aligned = AlignedFace(faces[0][:64, :64].copy(), Similarity(1.0, 0.0, 0.0, 0.0), face)
    there, here = (Swapper(load_model(tmp_path, d)).swap([(aligned, "b")])[0] for d in (gpu, cpu))
    assert (there.picture.cpu() - here.picture).abs().max() <= 8 / 255
    assert (there.mask.cpu() - here.mask).abs().max() <= 8 / 255


@pytest.mark.parametrize("colour", COLOURS)
def test_frames_are_converted_alike_on_both_devices(colour: str) -> None:
    """OpenCV samples on one, torch on the other."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(persons=("a", "b"))).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.02 * torch.randn_like(weight)
    yy, xx = np.mgrid[0:120, 0:160] / 160
    image = np.dstack([200 * xx, 200 * yy, 100 + 60 * np.sin(9 * xx)]).astype(np.uint8)
    frames = [
        (Frame(image, i, Fraction(i, 25)), [Target(head(Similarity(14.0, 0.5, 60.0 + 3 * i, 55.0)), "b")])
        for i in range(6)
    ]
    look = SwapConfig(colour=colour, grain=0)
    made = [list(converted(frames, Swapper(model.to(device)), look, with_masks=True)) for device in ("cpu", "cuda")]
    for here, there in zip(*made, strict=True):
        assert here.mask is not None
        assert there.mask is not None
        assert np.abs(here.image.astype(int) - there.image).max() <= 8
        assert np.abs(here.mask.astype(int) - there.mask).max() <= 3


def test_examples_give_the_same_detail_on_both_devices() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(persons=("a", "b"))).eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    shown = [cv2.GaussianBlur(rng.integers(0, 255, (256, 256, 3), np.uint8), (0, 0), 2) for _ in range(5)]
    image = rng.integers(0, 255, (512, 512, 3), np.uint8)
    frames = [(Frame(image, 0, Fraction(0)), [Target(head(Similarity(90.0, 0.0, 256.0, 240.0)), "b")])]

    look = SwapConfig(grain=0, occlusion=0, gaze=0)
    made = [
        next(converted(frames, Swapper(model.to(device), examples={"b": shown}), look)) for device in ("cpu", "cuda")
    ]
    here, there = (one.image.astype(int) for one in made)
    assert np.abs(here - there).mean() < 0.5
