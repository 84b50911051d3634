"""The last tab of the work: all jobs, what became of them, and the command line of each, to be used in scripts."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import gradio as gr

from faceswap_app import cards
from faceswap_app.components import TOLD, Live, warns
from faceswap_app.desk import Desk
from faceswap_app.jobs import DONE, RUNNING, STOPPING, WAITING, QueuedJob
from faceswap_app.turns import DOWN, NEXT, UP, in_order

_SHOWN = 30  # jobs, the latest
# Browsers ask whether a page may, and only on their own computer or over https.
_ALLOW = (
    """async () => window.isSecureContext && window.Notification ? await Notification.requestPermission() : 'none'"""
)
_ANSWERS = {
    "granted": "Your browser tells you when a job has ended while another window is in front.",
    "denied": "Your browser does not allow that. Its settings for this page do.",
    "none": "Browsers allow that to pages over https, or of their own computer.",
}
_MOVES = {"Next": NEXT, "↑": UP, "↓": DOWN}


class QueueTab:
    """Its parts, and what its buttons do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def lay_out_hidden(self) -> None:
        """What tells the browser that the list is another: outside of the tabs, since those are built when opened."""
        self._version = gr.Textbox(visible="hidden")

    def lay_out(self) -> None:
        """Puts everything in its place."""
        gr.Markdown(
            "Jobs run one at a time, or one on each GPU, each on its own: close this page, and they go on. One that"
            " needs what another one makes waits until that is done. Users take turns; the order of your own is yours"
            " to change. Each shows the command line that does the same in a terminal or a script."
        )

        notify = gr.Button("Tell me when a job has ended", size="sm", elem_id="notify")
        notify.click(warns(_say_whether), gr.Textbox(visible=False), None, js=_ALLOW, **TOLD)
        gr.render(inputs=self._version, queue=False, show_progress="hidden")(self._rows)

    @property
    def live(self) -> list[Live]:
        """What follows the disk: the list is built anew when a job begins or ends, and while one runs."""
        return [Live(self._version, lambda _p: self._changes(), lambda _p, _fresh: self._changes())]

    def _changes(self) -> str:
        queue = self._desk.queue
        jobs = queue.jobs()[-_SHOWN:]
        return json.dumps([[[job.id, job.status, job.reason, job.place] for job in jobs], queue.hidden()])

    def _rows(self, _version: str) -> None:
        queue = self._desk.queue
        jobs, hidden = queue.jobs()[-_SHOWN:], queue.hidden()
        if hidden:
            gr.Markdown(f"*Jobs of others that wait or run: {hidden}.*")
        if not jobs:
            gr.Markdown("*Nothing has been asked for yet.*")

        for job in _as_shown(jobs):
            self._row(job)

    def _row(self, job: Any) -> None:
        queue = self._desk.queue

        with gr.Row(equal_height=False, elem_classes="task"):
            with gr.Column(scale=8, min_width=300):
                if job.status in (RUNNING, STOPPING):
                    gr.HTML(partial(self._running, job.id), every=2.0)
                else:
                    gr.HTML(cards.row(job, queue.report(job)))

            if not queue.may_change(job):
                return
            if job.status == WAITING:
                for text, how in _MOVES.items():
                    self._button(text, partial(queue.move, job.id, how))
            if not job.over:
                self._button("Stop", partial(queue.stop, job.id))
                if job.reason:
                    self._button("Start without it", partial(queue.start_anyway, job.id))
            else:
                if job.status != DONE:
                    self._button("Start again", partial(queue.again, job.id))
                self._button("Remove", partial(queue.remove, job.id))

    def _button(self, text: str, action: Any) -> None:
        def press() -> str:
            action()
            return self._changes()

        gr.Button(text, size="sm", min_width=40 if len(text) == 1 else 90, scale=1).click(
            warns(press), None, self._version, **TOLD
        )

    def _running(self, key: str) -> str:
        queue = self._desk.queue
        job = next((job for job in queue.jobs() if job.id == key), None)
        return cards.row(job, queue.report(job)) if job else ""


def _as_shown(jobs: list[QueuedJob]) -> list[QueuedJob]:
    """First those that wait, in the order in which they are to run, then the others, the latest first."""
    waiting = in_order(job for job in jobs if job.status == WAITING)
    return waiting + [job for job in reversed(jobs) if job.status != WAITING]


def _say_whether(answer: object) -> None:
    """Whether the browser will tell its user."""
    gr.Info(_ANSWERS.get(str(answer), "You will not be told: you have not said whether you want that."), title="")
