"""What outputs say of their making: the mark in their pictures, signed credentials, a label, who agreed."""

from __future__ import annotations

import io
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from c2pa import Builder, C2paSignerInfo, Reader, Signer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from faceswap.errors import ConfigError, ModelError, OutputError
from faceswap.media.codecs import Encoding
from faceswap.media.pictures import read_picture, write_picture
from faceswap.media.video_write import write_clip
from faceswap.model.identities import write_identities
from faceswap.provenance import credentials as credentials_module
from faceswap.provenance.consent import NOBODY, Consent, read_consent, resolve_consent, write_consent
from faceswap.provenance.credentials import BROKEN, CONSENT, TRUSTED, VALID, read_credentials
from faceswap.provenance.keys import known_authorities, signing_key
from faceswap.provenance.label import labelled
from faceswap.provenance.seal import SIGNABLE, Sealer
from faceswap.provenance.watermark import detect_watermark, watermarked
from faceswap.provenance.xmp import SOURCE_TYPE, read_source_type
from faceswap.types import EMBEDDING, Picture
from faceswap_cli import consent as cli_consent
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.verification import VerifyReport, in_words, verify
from support.clips import gradients, images, make_clip
from support.commands import command, misused, refused
from support.studio import DRAWN, Studio

AGREED = Consent({"a": "Ada", "b": NOBODY}, "2026-01-02")


def look(file: Path) -> VerifyReport:
    [report] = run(verify([file]))
    return report


def psnr(one: Picture, other: Picture) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def encoded(pictures: Iterable[Picture], path: Path, crf: int) -> Picture:
    write_clip(path, pictures, Fraction(25), Encoding(crf=crf))
    return images(path)


def smaller(picture: Picture) -> Picture:
    return cv2.resize(picture, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def without_a_tenth(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[46:, 50:])


@pytest.fixture(scope="module")
def plain(studio: Studio) -> Picture:
    """32 frames of a drawn actor, 512 px, with the grain of a camera, of which drawings have none."""
    grain = np.random.default_rng(0).normal(scale=4, size=(512, 512, 1))
    frames = [cv2.resize(frame, (512, 512)) for frame in images(studio.clips["a"])[:32]]
    return np.stack([(frame + np.roll(grain, 37 * i)).clip(0, 255).astype(np.uint8) for i, frame in enumerate(frames)])


@pytest.fixture(scope="module")
def film(plain: Picture) -> Picture:
    """The same with the mark."""
    return np.stack([watermarked(frame) for frame in plain])


class TestMark:
    def test_it_is_faint_and_found(self, plain: Picture, film: Picture) -> None:
        assert all(psnr(*pair) > 42 for pair in zip(plain, film, strict=True))
        assert detect_watermark(film).found
        assert detect_watermark(film[:1]).found
        assert not detect_watermark(plain).found

    @pytest.mark.parametrize(
        ("crf", "changes"),
        [(18, ()), (28, ()), (23, (smaller,)), (28, (without_a_tenth,)), (18, (without_a_tenth, smaller))],
        ids=["compressed", "much compressed", "resized", "cropped", "cropped and resized"],
    )
    def test_it_outlives(
        self, crf: int, changes: tuple[Callable[[Picture], Picture], ...], film: Picture, tmp_path: Path
    ) -> None:
        pictures = list(film)
        for change in changes:
            pictures = [change(picture) for picture in pictures]
        found = detect_watermark(encoded(pictures, tmp_path / "o.mp4", crf))
        assert found.found
        assert found.scale == pytest.approx(0.75 if smaller in changes else 1, abs=0.013)

    def test_a_picture_keeps_it_through_jpeg(self, film: Picture) -> None:
        with io.BytesIO() as file:
            Image.fromarray(film[0]).save(file, "JPEG", quality=75)
            assert detect_watermark([np.array(Image.open(file))]).found

    def test_no_picture_without_it_is_taken_for_one(self) -> None:
        rng = np.random.default_rng(0)
        chances = []
        for number in range(40):
            size = (int(rng.integers(60, 200)), int(rng.integers(60, 200)))
            noise = cv2.GaussianBlur(rng.normal(size=size), (0, 0), 0.5 + number % 6)
            texture = (127 + 60 * noise / noise.std()).clip(0, 255).astype(np.uint8)
            y, x = np.mgrid[0 : size[0], 0 : size[1]]
            stripes = (np.sin((x + y * (number % 5)) / (2 + number / 9)) * 100 + 120).astype(np.uint8)
            chances.append(detect_watermark([cv2.merge([texture if number % 2 else stripes] * 3)]).chance)
        assert min(chances) > 1e-3

    @pytest.mark.parametrize("size", [(1, 1), (5, 3), (128, 128), (101, 333)])
    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_flat_and_tiny_pictures(self, size: tuple[int, int], level: int) -> None:
        flat = np.full((*size, 3), level, np.uint8)
        assert watermarked(flat).shape == flat.shape
        assert not detect_watermark([flat]).found

    def test_nothing_to_look_at(self) -> None:
        with pytest.raises(ValueError, match="no pictures"):
            detect_watermark([])


def test_the_label_is_in_the_corner_and_nowhere_else() -> None:
    plain = np.full((240, 320, 3), (40, 120, 200), np.uint8)
    with_label = labelled(plain)
    changed = (with_label != plain).any(axis=2)
    assert changed[-5:, -5:].all()
    assert not changed[:200].any()
    assert not changed[:, :160].any()
    assert with_label.max() > 240
    assert labelled(plain[:4, :6]).shape == (4, 6, 3)


@pytest.fixture(scope="module")
def video(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swapped one of 16 frames."""
    out = tmp_path_factory.mktemp("marked") / "out.mp4"
    result = command("swap", studio.clips["a"], "--model", studio.model, "--out", out, "--frames", "0:16")
    assert result.exit_code == 0, result.output
    return out


class TestSwapped:
    def test_a_video_says_everything(self, video: Path, studio: Studio) -> None:
        report = look(video)
        assert report.says_ai
        assert report.mark.found
        assert report.declared == SOURCE_TYPE.rsplit("/", 1)[1]
        credentials = report.credentials
        assert credentials is not None
        assert credentials.state == TRUSTED
        assert not credentials.problems
        assert credentials.source_types == (report.declared,)
        assert credentials.parents == (studio.clips["a"].name,)
        assert credentials.consent is not None
        assert credentials.consent.persons == DRAWN
        words = in_words(report)
        assert "modified or made by AI" in words
        assert "a does not exist" in words
        assert str(studio.clips["a"].parent) not in video.read_bytes().decode("latin-1")  # nothing of this computer

    def test_the_sheet_too(self, video: Path) -> None:
        report = look(video.with_name("out.sheet.png"))
        assert report.mark.found
        assert report.credentials is not None
        assert report.credentials.state == TRUSTED

    def test_what_lies_outside_of_what_is_signed_is_said(self, video: Path, tmp_path: Path) -> None:
        assert look(video).unsigned == 0
        hidden = tmp_path / "hidden.mp4"
        hidden.write_bytes(video.read_bytes() + box(b"free", b"x" * 99 + bytes(50)) + box(b"ftyp", b"isomabcd"))
        report = look(hidden)
        assert report.credentials is not None
        assert report.credentials.state == TRUSTED
        assert report.unsigned == 107
        assert "outside of what is signed: 107 bytes" in in_words(report)
        hidden.write_bytes(video.read_bytes() + UUID_BOX)  # which is no place for what is not signed
        report = look(hidden)
        assert report.credentials is not None
        assert (report.credentials.state, report.unsigned) == (BROKEN, 0)

    def test_the_mark_is_proved_by_the_credentials_alone(self, video: Path, tmp_path: Path) -> None:
        report = look(video)
        assert report.credentials is not None
        assert report.credentials.marked
        assert "and the credentials say so, too" in in_words(report)

        anybody = tmp_path / "anybody.png"
        Image.fromarray(watermarked(images(video)[0])).save(anybody)
        assert "a claim, not a proof" in in_words(look(anybody))

        plain = tmp_path / "plain.png"
        write_picture(plain, np.full((256, 256, 3), 90, np.uint8), seal=Sealer(None, None))  # signed, but not marked
        assert "not found, though the credentials say" in in_words(look(plain))

    def test_a_changed_byte_is_noticed(self, video: Path, tmp_path: Path) -> None:
        data = bytearray(video.read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / "changed.mp4").write_bytes(data)
        credentials = read_credentials(tmp_path / "changed.mp4")
        assert credentials is not None
        assert credentials.state == BROKEN
        assert credentials.problems

    def test_a_copy_of_the_streams_keeps_the_mark_alone(self, video: Path, tmp_path: Path) -> None:
        copied = tmp_path / "copied.mp4"
        with av.open(str(video)) as source, av.open(str(copied), "w") as target:
            stream = source.streams.video[0]
            to = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = to
                    target.mux(packet)
        report = look(copied)
        assert report.credentials is None
        assert not report.declared
        assert report.mark.found
        assert report.says_ai

    def test_the_input_says_nothing_of_that(self, studio: Studio) -> None:
        result = command("verify", studio.clips["a"])
        assert result.exit_code == 0
        assert "says nothing of AI" in result.output
        assert "does not show that it is genuine" in result.output

    def test_somebody_elses_signature_is_intact_but_not_known(
        self, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = tmp_path / "authority.pem"
        authority.write_text("".join(known_authorities()))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
        for words, state in (((), VALID), (("--authority", authority), TRUSTED)):
            result = command("verify", video, "--json", *words)
            assert json.loads(result.stdout)[0]["credentials"]["state"] == state
        (tmp_path / "no.pem").write_text("none")
        refused(command("verify", video, "--authority", tmp_path / "no.pem"), "PEM")

    def test_what_the_input_said_is_kept(self, video: Path, studio: Studio, tmp_path: Path) -> None:
        again = tmp_path / "again.mp4"
        words = ("--model", studio.model, "--to", "a", "--frames", "0:8", "--out", again, "--label")
        assert command("swap", video, *words).exit_code == 0
        with again.open("rb") as opened, Reader("mp4", opened) as reader:
            manifests = json.loads(reader.json())["manifests"].values()
        parents = [[parent["title"] for parent in manifest["ingredients"]] for manifest in manifests]
        assert sorted(parents) == [[studio.clips["a"].name], [video.name]]  # its own record, and its input's
        assert all(any(one["label"] == CONSENT for one in manifest["assertions"]) for manifest in manifests)
        assert (images(again)[0][-6:, -40:].mean(axis=(0, 1)) < images(video)[0][-6:, -40:].mean(axis=(0, 1))).all()

    def test_matroska_has_the_mark_alone(self, studio: Studio, tmp_path: Path) -> None:
        out = tmp_path / "o.mkv"
        words = ("--model", studio.model, "--frames", "0:8", "--out", out)
        assert command("swap", studio.clips["a"], *words).exit_code == 0
        report = look(out)
        assert report.credentials is None
        assert report.mark.found

    def test_pictures_and_sequences(self, studio: Studio, tmp_path: Path) -> None:
        picture = tmp_path / "in.png"
        write_picture(picture, images(studio.clips["a"])[0])
        for out in (tmp_path / "o.png", tmp_path / "o.jpg"):
            assert command("swap", picture, "--model", studio.model, "--out", out).exit_code == 0
        words = ("--model", studio.model, "--out", tmp_path / "o", "--frames", "0:3")
        assert command("swap", studio.clips["a"], *words).exit_code == 0
        for file in (tmp_path / "o.png", tmp_path / "o.jpg", *(tmp_path / "o").iterdir()):
            report = look(file)
            assert report.credentials is not None
            assert report.credentials.state == TRUSTED
            assert report.declared
            assert report.mark.found
        assert len(list((tmp_path / "o").iterdir())) == 3

    def test_a_preview_too(self, studio: Studio, tmp_path: Path) -> None:
        words = ("--model", studio.model, "--preview", 2, "--out", tmp_path / "o.mp4")
        assert command("swap", studio.clips["a"], *words).exit_code == 0
        assert look(tmp_path / "o.sheet.png").says_ai


class TestSealing:
    @pytest.mark.parametrize("source", ["in.mkv", "in.mp4", "in.png", "in"])
    def test_from_any_kind_of_input(self, source: str, tmp_path: Path) -> None:
        (tmp_path / source).write_bytes(b"no picture at all")
        seal = Sealer(tmp_path / source, AGREED)
        for name in ("one.png", "two.jpg"):
            out = tmp_path / name
            write_picture(out, np.zeros((8, 8, 3), np.uint8), seal=seal)
            credentials = read_credentials(out)
            assert credentials is not None
            assert credentials.state == TRUSTED
            assert credentials.parents == (source,)
            assert credentials.consent == AGREED
            assert (read_picture(out) < 9).all()

    def test_a_failure_leaves_no_file(self, tmp_path: Path) -> None:
        seal = Sealer(tmp_path / "not there.mp4", None)
        with pytest.raises(OutputError, match="cannot be signed"):
            write_picture(tmp_path / "o.png", np.zeros((8, 8, 3), np.uint8), seal=seal)
        assert not list(tmp_path.iterdir())

    def test_a_damaged_record_is_told_from_none(self, tmp_path: Path) -> None:
        out = tmp_path / "o.png"
        seal = Sealer(out, None)
        out.touch()
        write_picture(out, np.zeros((8, 8, 3), np.uint8), seal=seal)
        content = bytearray(out.read_bytes())
        place = content.index(b"caBX")
        content[place + 40 : place + 60] = bytes(20)
        out.write_bytes(content)
        credentials = read_credentials(out)
        assert credentials is not None
        assert credentials.state == BROKEN

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        source = Path(str(tmp_path / "in") + "\udcff.png")
        source.write_bytes(b"")
        out = tmp_path / "o.png"
        write_picture(out, np.zeros((8, 8, 3), np.uint8), seal=Sealer(source, None))
        assert read_credentials(out).parents == ("in?.png",)  # type: ignore[union-attr]

    def test_what_others_write_cannot_forge_a_report(self, tmp_path: Path) -> None:
        source, out = tmp_path / "a\n  invisible mark: found\x1b[2J.png", tmp_path / "o.png"
        source.write_bytes(b"")
        write_picture(out, np.zeros((8, 8, 3), np.uint8), seal=Sealer(source, None))
        words = in_words(look(out))
        assert "\x1b" not in words
        assert not any(line.startswith("  invisible mark: found") for line in words.splitlines())

    def test_a_history_of_ai_is_not_lost_by_another_step(self, video: Path, tmp_path: Path) -> None:
        key, out = signing_key(), tmp_path / "edited.mp4"
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["it"]}}
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [opened]}}
        editor = {"claim_generator_info": [{"name": "An editor", "version": "1"}], "assertions": [actions]}
        with Builder.from_json(editor) as builder, video.open("rb") as source, out.open("w+b") as target:
            builder.add_ingredient({"title": "swap", "relationship": "parentOf", "label": "it"}, "mp4", source)
            info = C2paSignerInfo(b"es256", key.chain.encode(), key.key.encode(), None)
            source.seek(0)
            builder.sign(Signer.from_info(info), "mp4", source, target)
        credentials = read_credentials(out)
        assert credentials is not None
        assert credentials.made_with == "An editor 1"
        assert credentials.source_types == (SOURCE_TYPE.rsplit("/", 1)[1],)
        assert credentials.consent is not None

    @pytest.mark.parametrize("name", ["o.jpg", "o", "o.mkv"])
    def test_a_file_under_another_kind_of_name(self, name: str, video: Path, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(video.read_bytes())
        credentials = read_credentials(tmp_path / name)
        assert credentials is not None
        assert credentials.state == TRUSTED

    def test_many_beginnings_of_xmp_take_no_time(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"<x:xmpmeta" * 1_000_000)
        begun = time.monotonic()
        assert read_source_type(tmp_path / "f") == ""
        assert time.monotonic() - begun < 5

    def test_every_signable_kind_can_be_signed(self) -> None:
        assert {suffix[1:] for suffix in SIGNABLE} <= set(Builder.get_supported_mime_types())

    @pytest.mark.parametrize("content", [b"", b"x", b"<x:xmpmeta no end", b"\x89PNG\r\n\x1a\n"])
    def test_files_of_no_kind_declare_nothing(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "f.png").write_bytes(content)
        assert read_source_type(tmp_path / "f.png") == ""
        assert read_credentials(tmp_path / "f.png") is None
        result = command("verify", tmp_path / "f.png")
        assert result.exit_code == 3
        assert "cannot be read" in result.output


class TestKeys:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        return tmp_path / "faceswap" / "credentials"

    def test_one_is_made_once_for_this_user_alone(self, home: Path) -> None:
        key = signing_key()
        assert signing_key() == key
        [folder] = home.iterdir()
        assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_first_use_by_many_at_once(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: signing_key(), range(8)))
        assert signing_key() in made
        assert 1 <= len(known_authorities()) <= 8

    @pytest.mark.parametrize(("file", "known"), [("chain.pem", 1), ("key.pem", 2)])
    @pytest.mark.parametrize("content", ["", "damaged"])
    def test_a_damaged_one_is_passed_over(self, file: str, content: str, known: int, home: Path) -> None:
        before = signing_key()
        [folder] = home.iterdir()
        (folder / file).write_text(content)
        after = signing_key()
        assert after != before
        assert signing_key() == after
        assert len(known_authorities()) == known  # what it has signed can still be checked if its certificate is whole

    def test_nowhere_to_keep_it(self, home: Path) -> None:
        home.parent.write_text("a file where a folder should be")
        with pytest.raises(OutputError, match="XDG_DATA_HOME"):
            signing_key()


class TestConsent:
    def test_a_new_model_needs_it_from_everybody(self, studio: Studio, tmp_path: Path) -> None:
        model = tmp_path / "m"
        words = [word for word in studio.training if word not in ("--consent", "a=nobody", "b=nobody")]
        words += ["--model", str(model), "--steps", "2", "--size", "32", "--set", "width=8", "--set", "max_width=16"]
        refused(command(*words), "not said who a and b of", "--consent a=", "nobody")
        refused(command(*words, "--consent", "a=Ada"), "not said who b of")
        misused(command(*words, "--consent", "a=Ada", "--consent", "b=  "), "does not say who agreed")
        refused(command(*words, "--consent", "a=Ada", "--consent", "c=Cy"), "'c', who is not in the model")
        assert not model.exists()
        assert command(*words, "--consent", "a=Ada Lov", "--consent", "b=nobody").exit_code == 0
        consent = read_consent(model)
        assert consent is not None
        assert consent.persons == {"a": "Ada Lov", "b": NOBODY}
        assert command(*words).exit_code == 0  # it is asked once
        assert read_consent(model) == consent
        assert command(*words, "--consent", "b=Bo").exit_code == 0
        assert read_consent(model).persons == {"a": "Ada Lov", "b": "Bo"}  # type: ignore[union-attr]

    def test_it_is_asked_for_at_a_terminal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        answers = iter(["Ada", NOBODY])
        monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(answers))
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
        facesets = {"a": tmp_path, "b": tmp_path, "c": tmp_path}
        assert cli_consent.consented(["c=Cy"], tmp_path, facesets, ask=True) == {"a": "Ada", "b": NOBODY, "c": "Cy"}
        answers = iter(["Ada"])
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
        with pytest.raises(ConfigError, match="Ada has not agreed"):
            cli_consent.consented([], tmp_path, {"a": tmp_path}, ask=True)
        assert cli_consent.consented([], tmp_path, facesets, ask=False) == {}

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"persons": {"a": 1}, "recorded": ""}', "\xff"])
    def test_a_damaged_record_is_named(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "consent.json").write_text(text, encoding="latin-1")
        with pytest.raises(ModelError, match=r"consent\.json"):
            read_consent(tmp_path)

    def test_names_have_a_limit(self, tmp_path: Path) -> None:
        for name in ("x" * 300, "a\nb", "\udcfc", "\x1b[2J"):
            with pytest.raises(ConfigError, match="letters, digits"):
                resolve_consent(tmp_path, {"a": name}, ["a"])
        assert resolve_consent(tmp_path, {"a": " Nobody "}, ["a"]) == {"a": NOBODY}

    def test_other_faces_need_it_anew(self, studio: Studio, tmp_path: Path) -> None:
        words = ("--model", tmp_path / "m", "--steps", 2, "--size", 32, "--set", "width=8", "--set", "max_width=16")
        assert command(*studio.training, *words).exit_code == 0
        write_identities(tmp_path / "m", {"a": np.eye(1, EMBEDDING, dtype=np.float32)[0]})
        swapped = ("train", "--a", studio.facesets["a"], "--b", studio.facesets["b"], *words)
        refused(command(*swapped), "somebody else's", "--consent a=")
        assert command(*swapped, "--consent", "a=Eve").exit_code == 0
        assert look(tmp_path / "m" / "previews" / "latest.png").credentials is not None

    def test_the_day_stays_when_nothing_else_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "consent.json").write_text(json.dumps({"persons": {"a": "Ada"}, "recorded": "2020-01-01"}))
        write_consent(tmp_path, {"a": "Ada"})
        assert read_consent(tmp_path) == Consent({"a": "Ada"}, "2020-01-01")


PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'<rdf:Description DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
).encode()
KIND = SOURCE_TYPE.rsplit("/", 1)[1]


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


UUID_BOX = box(b"uuid", bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC") + PACKET)


def picture_saying(packet: bytes, kind: str, path: Path) -> None:
    """A small picture of this kind with its XMP where it belongs."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    places = {"PNG": {"pnginfo": info}, "TIFF": {"tiffinfo": {700: packet}}}
    Image.new("RGB", (16, 16)).save(path, kind, **places.get(kind, {"xmp": packet}))


class TestDeclarationsLieInTheirPlace:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_pictures_that_another_program_has_written(self, kind: str, tmp_path: Path) -> None:
        picture_saying(PACKET, kind, tmp_path / "f")
        assert read_source_type(tmp_path / "f") == KIND
        Image.new("RGB", (16, 16)).save(tmp_path / "f", kind)
        with (tmp_path / "f").open("ab") as file:
            file.write(PACKET)
        assert read_source_type(tmp_path / "f") == ""

    def test_a_png_may_compress_it(self, tmp_path: Path) -> None:
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "f.png", pnginfo=info)
        assert read_source_type(tmp_path / "f.png") == KIND

    @pytest.mark.parametrize(
        ("tail", "declared"),
        [
            (UUID_BOX, KIND),
            (box(b"moov", box(b"udta", box(b"XMP_", PACKET))), KIND),
            (box(b"free", PACKET), ""),
            (box(b"free", UUID_BOX), ""),
            (box(b"mdat", UUID_BOX), ""),
            (box(b"uuid", bytes(16) + PACKET), ""),
            (UUID_BOX[:-9], ""),  # cut short
            (box(b"free", b"") + UUID_BOX, KIND),
            (b"\0\0\0\1free" + (16).to_bytes(8, "big") + UUID_BOX, KIND),
            (b"\0\0\0\2free" + UUID_BOX, ""),
        ],
    )
    def test_videos(self, tail: bytes, declared: str, tmp_path: Path) -> None:
        (tmp_path / "f.mp4").write_bytes(box(b"ftyp", b"isom") + tail)
        assert read_source_type(tmp_path / "f.mp4") == declared

    def test_a_segment_of_a_jpeg_is_named(self, tmp_path: Path) -> None:
        Image.new("RGB", (16, 16)).save(tmp_path / "f.jpg", comment=PACKET)
        assert read_source_type(tmp_path / "f.jpg") == ""

    @pytest.mark.parametrize("seed", range(20))
    def test_damage_is_no_declaration(self, seed: int, tmp_path: Path) -> None:
        rng, kind = np.random.default_rng(seed), ("JPEG", "PNG", "WEBP", "TIFF")[seed % 4]
        picture_saying(PACKET, kind, tmp_path / "f")
        content = bytearray((tmp_path / "f").read_bytes())
        for at in rng.integers(0, 200, 8):
            content[at] ^= int(rng.integers(1, 256))
        (tmp_path / "f").write_bytes(content)
        assert read_source_type(tmp_path / "f") in ("", KIND)


def test_what_cannot_be_looked_at_does_not_keep_others_from_it(tmp_path: Path) -> None:
    """Neither a pipe, out of which nothing ever comes, nor a name or a title that is no text."""
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "line\n  forged: yes.png")
    clip = make_clip(tmp_path / "title.mp4", gradients(3), title="Caffe")
    clip.write_bytes(clip.read_bytes().replace(b"Caffe", b"Caff\xe9"))
    files = [tmp_path / "pipe.png", tmp_path / "line\n  forged: yes.png", clip]
    reports = run(verify(files))
    assert [bool(report.problem) for report in reports] == [True, False, False]
    assert "\n  forged" not in in_words(reports[1])


@pytest.mark.parametrize(
    "said", ["[]", "1", "null", '{"manifests": [1]}', '{"manifests": {"a": 1}, "active_manifest": "a"}', "{"]
)
def test_credentials_that_are_malformed_are_broken(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Says:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Says:
            return self

        def __exit__(self, *_: object) -> None: ...

        def json(self) -> str:
            return said

        @staticmethod
        def get_supported_mime_types() -> list[str]:
            return []

    monkeypatch.setattr(credentials_module, "Reader", Says)
    (tmp_path / "f").touch()
    credentials = read_credentials(tmp_path / "f")
    assert credentials is not None
    assert credentials.state == BROKEN
