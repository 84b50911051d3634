"""Jobs as HTML: how far they are, what came of them, and why they failed."""

from __future__ import annotations

import html
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from faceswap.media.kinds import is_picture
from faceswap_app.jobs import DONE, FAILED, HALTED, STOPPING, WAITING, QueuedJob
from faceswap_pipelines.common.protocol import ProgressReport

_WORDS = {
    WAITING: "waits its turn",
    STOPPING: "is stopping and saves what it has…",
    HALTED: "was stopped. What was done is saved: start it again and it goes on.",
}
_PLAYABLE = {".mp4", ".m4v", ".webm"}


def card(job: QueuedJob | None, report: ProgressReport | None, result: dict[str, Any]) -> str:
    """A job on its tab; nothing if there is none."""
    if job is None:
        return ""

    title = f"<b>{html.escape(job.title)}</b>"
    if job.status == DONE:
        return f'<div class="job done">{title} is done. {html.escape(_said(job, result))}</div>'
    if job.status == FAILED:
        return f'<div class="job failed" role="alert">{title} failed. {html.escape(job.reason)}</div>'
    if job.status in _WORDS:
        words = html.escape(job.reason) or _WORDS[job.status]
        return f'<div class="job {job.status}">{title} {words}</div>'
    return f'<div class="job running">{title}{progress(report)}</div>'


def progress(report: ProgressReport | None) -> str:
    """A bar, figures, and the time that is left."""
    if report is None:
        return '<div class="figures">Getting ready…</div><div class="bar"><i class="unknown"></i></div>'

    share = report.share
    bar = '<i class="unknown"></i>' if share is None else f'<i style="width:{100 * share:.1f}%"></i>'
    value = "" if share is None else f' aria-valuenow="{100 * share:.0f}"'

    total = "" if report.total is None else f" of {report.total:,.0f}"
    counted = f"{report.done:,.0f}{total} {html.escape(report.unit)}" if report.unit else ""
    left = report.seconds_left

    parts = [counted, html.escape(report.note), "" if left is None else f"<b>{duration(left)} left</b>"]
    figures = " · ".join(part for part in parts if part)

    return (
        f'<div class="figures">{html.escape(report.title)}<span>{figures}</span></div>'
        f'<div class="bar" role="progressbar" aria-label="{html.escape(report.title)}"{value}>{bar}</div>'
    )


def pill(
    job: QueuedJob | None, report: ProgressReport | None, waiting: int, last: QueuedJob | None, others: int = 0
) -> str:
    """What is going on, or what came of the `last` job, in the page's head; `data-title` is for the window's title.

    `others`: how many jobs of people whose projects the visitor does not see wait or run.
    """
    if job is None:
        said = f"{last.title}: {last.status}" if last else ""
        busy = f"{others} job{'s' * (others != 1)} of others" if others else ""
        queued = f"{waiting} of yours waiting" if waiting and others else ""
        parts = (busy or "nothing is running", queued, said and html.escape(said))
        text = " · ".join(part for part in parts if part)
        return f'<div class="pill idle" data-title="{html.escape(said)}"{_ended(last)}>{text}</div>'

    share, left = (report.share, report.seconds_left) if report else (None, None)
    far = "" if share is None else f" {100 * share:.0f} %"
    more = f" · {waiting} waiting" if waiting else ""
    time_left = "" if left is None else f", {duration(left)} left"
    title = html.escape(f"{far.strip()} {job.title}{time_left}".strip())
    text = f"{html.escape(job.project)}: {html.escape(job.title)}{far}{time_left}{more}"
    return f'<div class="pill" data-title="{title}"{_ended(last)}><i></i>{text}</div>'


def _ended(job: QueuedJob | None) -> str:
    """What browsers tell their users of who allow that: the job that ended last, and how."""
    if job is None:
        return ""
    return f' data-ended="{job.id} {job.ended:.0f}" data-said="{html.escape(f"{job.title}: {job.status}")}"'


def visitor(name: str | None) -> str:
    """Who has logged in, where visitors have names, and the way out."""
    return "" if name is None else f'<div class="visitor">{html.escape(name)} · <a href="logout">log out</a></div>'


def trouble(text: str) -> str:
    """What keeps the page from showing the project, in its place."""
    return f'<div class="pill trouble" role="alert">{text}</div>'


def row(job: QueuedJob, report: ProgressReport | None) -> str:
    """A job in the queue: what, when, how it went, and its command line."""
    body = progress(report) if job.status in ("running", STOPPING) else ""
    reason = f'<div class="reason">{html.escape(job.reason)}</div>' if job.reason else ""
    took = f", took {duration(job.ended - job.begun)}" if job.begun and job.ended else ""
    begun = time.strftime("%d %b %H:%M", time.localtime(job.begun)) + took if job.begun else ""

    head = f'<span class="badge {job.status}">{job.status}</span><b>{html.escape(job.title)}</b>'
    parts = (html.escape(job.project), html.escape(job.owner), begun)
    where = f"<span>{' · '.join(part for part in parts if part)}</span>"
    command = f"<details><summary>Command line</summary><code>{html.escape(job.command)}</code></details>"

    return f'<div class="row">{head}{where}{body}{reason}{command}</div>'


def steps(marks: list[tuple[str, str, bool]]) -> str:
    """The steps of the work: name, how far, and whether it is done."""
    items = [
        f'<li class="{"ready" if done else "open"}"><i>{"✓" if done else number}</i><b>{name}</b>'
        f"<span>{html.escape(far)}</span></li>"
        for number, (name, far, done) in enumerate(marks, 1)
    ]
    return f'<ol class="steps">{"".join(items)}</ol>'


def player(result: Path, beside: Path | None, start: float) -> str:
    """A result to look at and to download, beside another file if that is there.

    The browser reads a video as it plays, however large it is. What is beside it follows it: `start` is the time there,
    in seconds, at the result's first frame.
    """
    shown = [_view(result, "after", "Swapped")]
    if beside is not None:
        shown.insert(0, _view(beside, "before", "Beside it" if beside.parent == result.parent else "As filmed"))
    size = f"{result.stat().st_size / 1e6:.1f} MB"
    name = html.escape(result.name)
    download = f'<a class="download" href="{_address(result)}" download="{name}">Download {name} ({size})</a>'
    return f'<div class="pair" data-start="{start:.3f}">{"".join(shown)}</div>{download}'


def clip(path: Path) -> str:
    """A clip to look at."""
    return f'<div class="pair">{_view(path, "after", "Clip")}</div>'


def link(path: Path, text: str) -> str:
    """A file to download."""
    return f'<a href="{_address(path)}" download="{html.escape(path.name)}">{html.escape(text)}</a>'


def _view(path: Path, role: str, title: str) -> str:
    """A picture or a video with its title; what is `before` is silent, and led by what is `after`."""
    name = html.escape(path.name)
    if is_picture(path):
        view = f'<img class="{role}" src="{_address(path)}" alt="{name}">'
    elif path.suffix.lower() in _PLAYABLE:
        led = 'muted tabindex="-1"' if role == "before" else "controls"
        view = f'<video {led} playsinline preload="auto" class="{role}" src="{_address(path)}#t=0.01"></video>'
    else:
        view = '<p class="note">Browsers cannot play this kind of video.</p>'

    return f"<figure>{view}<figcaption>{title}: {name}</figcaption></figure>"


def _address(path: Path) -> str:
    """Relative to the page: right behind a proxy, too. The time tells the browser that it is another file."""
    return f"gradio_api/file={quote(str(path))}?{path.stat().st_mtime:.0f}"


def duration(seconds: float) -> str:
    """In words, roughly."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _said(job: QueuedJob, result: dict[str, Any]) -> str:
    """The result in a sentence."""
    try:
        return _in_words(job, result)
    except (TypeError, ValueError, AttributeError):  # its file was damaged since: what it made is there all the same
        return "What it said of itself cannot be read any more."


def _in_words(job: QueuedJob, result: dict[str, Any]) -> str:
    if job.kind == "extract":
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in result.get("rejected", {}).items())
        failed = "".join(f" Passed over {Path(path).name}: {why}" for path, why in result.get("failed", {}).items())
        return f"{result.get('kept', 0):,} faces are kept{'; left out: ' * bool(dropped)}{dropped}.{failed}"

    if job.kind == "faces":
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in result.get("rejected", {}).items()) or "none"
        return f"Left out: {dropped}; {result.get('kept', 0):,} are kept."

    if job.kind == "train":
        return f"{result.get('steps', 0):,} steps in {result.get('minutes', 0):.1f} minutes."

    if job.kind == "swap":
        notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in result.get("notes", ()))
        return f"{result.get('swapped', 0):,} of {result.get('frames', 0):,} frames show a swapped face.{notes}"

    if job.kind == "evaluate":
        return "Look at the report."
    return "Look at the Swap tab for the result."
