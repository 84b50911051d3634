"""The jobs that a tab has to do with, and the parts of the tab that follow them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from faceswap_app import cards
from faceswap_app.components import Live
from faceswap_app.counter import Counter
from faceswap_app.jobs import QueuedJob
from faceswap_app.project import Project


class TabJobs:
    """Jobs of some kinds, in the project that is open."""

    def __init__(self, queue: Counter, *kinds: str) -> None:
        self._queue, self._kinds = queue, kinds

    def of(self, project: str | None) -> list[QueuedJob]:
        """All of the project, by its name, in the order in which they were asked for."""
        return [job for job in self._queue.jobs() if job.project == project and job.kind in self._kinds]

    def latest(self, project: str) -> QueuedJob | None:
        """As `Counter.latest`."""
        return self._queue.latest(project, self._kinds)

    def run(self, project: Project) -> bool:
        """Whether one runs or waits."""
        job = self.latest(project.name)
        return job is not None and not job.over

    def stop(self, project: str | None) -> None:
        """Stop what runs, and what waits behind it."""
        for job in self.of(project):
            if not job.over:
                self._queue.stop(job.id)

    def stop_button(self, button: Any) -> Live:
        """A button that can be pressed while one runs or waits."""
        return Live(button, self.run, lambda project, _fresh: gr.Button(interactive=self.run(project)))

    def card(self, card: Any) -> Live:
        """The latest one, and how far it is."""
        return Live(card, self._state, lambda project, _fresh: cards.card(*self._state(project)))

    def _state(self, project: Project) -> Any:
        job = self.latest(project.name)
        return job, self._queue.report(job) if job else None, self._queue.result(job) if job else {}
