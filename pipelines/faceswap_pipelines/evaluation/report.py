"""The report: one HTML file with everything in it, which needs no network and runs no script."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import faceswap
from faceswap.errors import OutputError
from faceswap.files import replaced
from faceswap.media.pictures import write_picture
from faceswap.provenance.seal import Sealer
from faceswap.quality.scales import CROP, FAIR, GOOD, LIKENESS, POOR, REBUILT, SWAP, Scale
from faceswap.types import Picture, Seal
from faceswap_pipelines.common.marks import seal_of, write_marked
from faceswap_pipelines.evaluation.faces import Rebuilt
from faceswap_pipelines.evaluation.job import THE_SWAP, EvaluateJob, ModelQuality, SwapQuality, Verdict
from faceswap_pipelines.evaluation.pictures import (
    faces_sheet,
    swap_chart,
    swap_pictures,
    worst_faces,
)
from faceswap_pipelines.evaluation.swaps import SwapPart

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1e22; --soft: #64666e; --paper: #fafaf8; --line: #dddcd6; --card: #fff;
        --good: #1f7a4a; --fair: #94630a; --poor: #b3352b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9e8e4; --soft: #a2a3aa; --paper: #17181b; --line: #34363c; --card: #1f2125;
          --good: #62cf97; --fair: #e3b04f; --poor: #ff8a7d; } }
body { margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3em; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2em 0 .5em; } h3 { font-size: 1rem; margin: 1.6em 0 .5em; }
p { margin: .4em 0; max-width: 75ch; } .note, small { color: var(--soft); } small { font-size: .82rem; }
.sum { display: flex; gap: 10px; flex-wrap: wrap; margin: 14px 0; }
.sum b { font-size: 1.3rem; } .sum div { border: 1px solid var(--line); border-radius: 8px; padding: 6px 16px;
  background: var(--card); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; padding: 6px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-size: .82rem; color: var(--soft); font-weight: 600; overflow-wrap: break-word; }
tbody th { font-weight: 600; } th small { display: block; font-weight: 400; }
td.value { white-space: nowrap; font-variant-numeric: tabular-nums; }
.good, .fair, .poor { font-weight: 600; } .good { color: var(--good); } .fair { color: var(--fair); }
.poor { color: var(--poor); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--line); margin: 8px 0; }
footer { margin-top: 3em; border-top: 1px solid var(--line); padding-top: 1em; color: var(--soft); font-size: .85rem; }
@media (max-width: 640px) {  /* a phone: a row of a table is a paragraph, wide pictures are moved sideways */
  thead { display: none; }
  tr { display: flex; flex-wrap: wrap; gap: 0 14px; padding: 8px 12px; border-bottom: 1px solid var(--line); }
  th, td { padding: 1px 0; border: 0; }
  tbody th, td:last-child { flex: 1 0 100%; }
  td:last-child { color: var(--soft); font-size: .82rem; } td:last-child::before { content: "good is "; }
  td[data-of]::before { content: attr(data-of) " "; color: var(--soft); font-size: .82rem; }
  .wide img { min-width: 640px; }
}
"""
# The page may show what is in it, and do nothing else.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SYNTHETIC = (
    "Swapped and rebuilt faces are made by a trained network: each picture is signed, and carries the invisible mark."
)


def check_report(job: EvaluateJob) -> None:
    """Raises OutputError if the report cannot be written, before any work is done."""
    if job.out is not None and not job.out.parent.is_dir():
        raise OutputError(f"the folder {job.out.parent} does not exist", "Create it or choose another place")


def write_page(
    job: EvaluateJob,
    models: Sequence[ModelQuality],
    shown: Mapping[str, Rebuilt],
    part: SwapPart | None,
    verdicts: Sequence[Verdict],
) -> None:
    """Write the report. Raises OutputError."""
    assert job.out is not None
    source = job.swap.target if job.swap else None
    seal = seal_of(job.models[0], source) if job.models else Sealer(source, None)

    # Of the swap first, then of the model's faces.
    sections = [_head(job, verdicts)]
    if part is not None:
        sections.append(_swap_section(job, part, verdicts, seal))
    sections += [_person_section(person, rebuilt, models, seal) for person, rebuilt in shown.items()]
    if models:
        sections.append(_crops_section(models))

    page = _page(_title(job), "\n".join(sections))
    try:
        with replaced(job.out) as fresh:
            fresh.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(
            f"{job.out} cannot be written ({error.strerror})", "Check the folder and its space"
        ) from error


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n"
        f"<footer>Measured by faceswap {faceswap.__version__} on this computer; nothing was sent anywhere. What is good"
        " stands on what swaps of this program reach, on published figures and on what can just be seen: it says where"
        " to look, and a look decides.</footer>\n</body></html>\n"
    )


def _title(job: EvaluateJob) -> str:
    what = job.swap.swap.name if job.swap else job.models[0].name
    return f"How good is {what}?"


def _head(job: EvaluateJob, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.grade for verdict in verdicts)
    boxes = "".join(
        f'<div><b class="{grade}">{counts[grade]}</b> <span class="{grade}">{grade}</span></div>'
        for grade in (GOOD, FAIR, POOR)
    )

    files = []
    if job.swap:
        files.append(f"{job.swap.swap.name}, a swap of {job.swap.target.name}")
        files += [f"the wanted person is in {job.swap.identity.name}"] if job.swap.identity else []
    files += [f"model {path.name}" for path in job.models]

    return (
        f"<h1>{html.escape(_title(job))}</h1><p class='note'>{html.escape('; '.join(files))}</p>"
        f'<div class="sum">{boxes}</div><p>{_worst_words(verdicts)}</p>'
    )


def _worst_words(verdicts: Sequence[Verdict]) -> str:
    """What is poor, in a sentence."""
    poor = [verdict for verdict in verdicts if verdict.grade == POOR]
    if not poor:
        return "Nothing is poor."
    named = (f"{v.title.lower()} ({'' if v.of == 'swap' else v.of + ': '}{v.text})" for v in poor)
    return f"Poor: {html.escape(', '.join(named))}."


def _swap_section(job: EvaluateJob, part: SwapPart, verdicts: Sequence[Verdict], seal: Seal) -> str:
    assert job.swap is not None
    sheet, worst = swap_pictures(job.swap, part)
    rows = "".join(_verdict_row(verdict) for verdict in verdicts if verdict.of == THE_SWAP)

    sections = [
        "<h2>The swap, beside the video</h2>",
        f"<p class='note'>{_counts(part.quality)}</p>",
        _table(("measure", "value", "verdict", "good is"), rows),
        f"<h3>Before and after</h3><p class='note'>{_SYNTHETIC}</p>",
        _image(sheet, "Faces as filmed, swapped, and of the wanted person", seal),
        "<h3>Over time</h3>",
        _image(swap_chart(part), "Curves of the measures over the frames", None),
    ]

    for name, picture in worst.items():
        title = (SWAP.get(name) or LIKENESS[name]).title.lower()
        sections.append(f"<h3>Worst frames: {html.escape(title)}</h3>")
        sections.append(_image(picture, f"The worst frames by {title}, as filmed and swapped", seal))
    return "\n".join(sections)


def _counts(quality: SwapQuality) -> str:
    words = f"{quality.faces:,} of {quality.frames:,} frames show the face."
    if quality.likeness is None:
        return f"{words} Whose face it should be was not said: add --identity."
    return (
        f"{words} The wanted person is looked for among {quality.likeness.gallery} people: besides the replaced one,"
        " those of the demo's drawn actors and of the people whose faces were given who look like neither."
    )


def _verdict_row(verdict: Verdict) -> str:
    return (
        f"<tr><th>{html.escape(verdict.title)}<small>{html.escape(verdict.meaning)}</small></th>"
        f'<td class="value">{html.escape(verdict.text)}</td><td class="{verdict.grade}">{verdict.grade}</td>'
        f"<td>{html.escape(verdict.aim)}</td></tr>"
    )


def _person_section(person: str, rebuilt: Rebuilt, models: Sequence[ModelQuality], seal: Seal) -> str:
    qualities = [model.rebuilt[person] for model in models]
    names = _names([model.model for model in models])
    spectra = zip(names, qualities, strict=True)
    spectrum = "".join(_cell(_spectrum(quality.spectrum), of) for of, quality in spectra)

    rows = _model_rows(REBUILT, names, qualities) + (
        "<tr><th>Detail by size<small>power by spatial frequency, in cycles in the crop's side, rebuilt by true</small>"
        f"</th>{spectrum}<td>near 1 in every band</td></tr>"
    )

    return (
        f"<h2>Faces of {html.escape(person)}, rebuilt</h2><p class='note'>{models[0].faces[person]} faces of those"
        " given. The figures mean something only if training has not seen them.</p>"
        + _model_table(models, rows)
        + f"<h3>Some faces</h3><p class='note'>{_SYNTHETIC}</p>"
        + _image(faces_sheet(rebuilt), "Faces as filmed, rebuilt, and as everybody else", seal)
        + "<h3>Worst faces</h3>"
        + _image(worst_faces(rebuilt), "The faces rebuilt worst, beside the true ones, with their likeness", seal)
    )


def _spectrum(bands: Mapping[str, float]) -> str:
    return "<br>".join(f"<small>{band}</small> {share:.2f}" for band, share in bands.items())


def _crops_section(models: Sequence[ModelQuality]) -> str:
    """Faces decoded as somebody else, before they are pasted."""
    sections = []
    for name in models[0].swapped:
        rows = _model_rows(CROP, _names([model.model for model in models]), [model.swapped[name] for model in models])
        sections.append(f"<h3>{html.escape(name)}</h3>{_model_table(models, rows)}")
    return f"<h2>The same faces, swapped and not yet pasted</h2>{''.join(sections)}" if sections else ""


def _model_table(models: Sequence[ModelQuality], rows: str) -> str:
    return _table(("measure", *_names([model.model for model in models]), "good is"), rows)


def _table(heads: Sequence[str], rows: str) -> str:
    cells = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _names(models: Sequence[str]) -> list[str]:
    """Folders' names; the whole paths where two have the same."""
    short = [Path(model).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


def _model_rows(scales: Mapping[str, Scale], models: Sequence[str], values: Sequence[object]) -> str:
    """A row for each measure, with a cell for each model."""
    rows = []
    for name, scale in scales.items():
        named = f"<th>{html.escape(scale.title)}<small>{html.escape(scale.meaning)}</small></th>"
        cells = [_graded(scale, getattr(value, name), of) for of, value in zip(models, values, strict=True)]
        rows.append(f"<tr>{named}{''.join(cells)}<td>{html.escape(scale.aim)}</td></tr>")
    return "".join(rows)


def _graded(scale: Scale, value: float, of: str) -> str:
    grade = scale.grade(value)
    return _cell(f'{html.escape(scale.text(value))} <span class="{grade}">{grade}</span>', of)


def _cell(content: str, of: str) -> str:
    """With the name of its column, for screens on which that has no head."""
    return f'<td class="value" data-of="{html.escape(of)}">{content}</td>'


def _image(picture: Picture, words: str, seal: Seal | None) -> str:
    """The picture inside the page: marked and signed if it shows faces that a network has made."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("picture.jpg" if seal else "chart.png")
        if seal:
            write_marked(path, picture, seal)
        else:
            write_picture(path, picture)
        kind = "jpeg" if seal else "png"
        data = base64.b64encode(path.read_bytes()).decode("ascii")

    return f'<div class="wide"><img alt="{html.escape(words)}" src="data:image/{kind};base64,{data}"></div>'
