"""The page: a head with the project, a tab for each step of the work, and the clock that has it follow the disk."""

from __future__ import annotations

from typing import Any

import gradio as gr

from faceswap.errors import FaceswapError
from faceswap_app import cards
from faceswap_app.components import QUICK, Live, text_of
from faceswap_app.counter import Counter
from faceswap_app.desk import Desk
from faceswap_app.jobs import RUNNING, STOPPING, WAITING
from faceswap_app.project import Project
from faceswap_app.spots import FOLLOW_CLICKS
from faceswap_app.tab_evaluate import EvaluateTab
from faceswap_app.tab_faces import FacesTab
from faceswap_app.tab_latent import LatentTab
from faceswap_app.tab_project import ProjectTab
from faceswap_app.tab_queue import QueueTab
from faceswap_app.tab_swap import SwapTab
from faceswap_app.tab_train import TrainTab
from faceswap_app.tab_verify import VerifyTab

_KEPT = 86_400  # seconds that uploads, and pictures shown on the page, are kept
_BRAND = '<div id="brand"><i></i><i></i>faceswap</div>'
# Project and tab are kept in the page's address: they survive a reload, can be a bookmark, and each window has its own.
_REMEMBER = """(name) => {
    const here = new URL(window.location);
    if (name) here.searchParams.set('project', name);
    window.history.replaceState(null, '', here);
}"""
# The first tab selects itself while the page is loaded: nothing is remembered before the address has been followed.
_FOLLOW_TAB = """() => {
    const tabs = [...document.querySelectorAll('[role=tab]')];
    const named = new URL(window.location).searchParams.get('tab');
    const wanted = tabs.find((tab) => tab.dataset.tabId === named);
    if (wanted && tabs[0].ariaSelected === 'true') wanted.click();
    window.followed = true;
}"""
_REMEMBER_TAB = """() => setTimeout(() => {
    const chosen = document.querySelector('[role=tab][aria-selected=true]');
    const here = new URL(window.location);
    if (window.followed && chosen) here.searchParams.set('tab', chosen.dataset.tabId);
    window.history.replaceState(null, '', here);
})"""

# What runs, or how it ended, is the window's title: seen while another one is in front. Whoever has allowed it is told
# then that a job has ended, too, but not of what had ended before the page was opened.
_TITLE = """(pill) => {
    const shown = new DOMParser().parseFromString(pill || '', 'text/html').querySelector('.pill');
    const {title, ended, said} = shown?.dataset ?? {};
    document.title = title ? `${title} · faceswap` : 'faceswap';

    const fresh = window.lastEnded !== undefined && ended && ended !== window.lastEnded;
    if (fresh && document.hidden && window.Notification?.permission === 'granted')
        new Notification('faceswap', {body: said, tag: ended});
    window.lastEnded = ended ?? '';
}"""
# What is shown beside a result follows it: one slider moves both. Events of media do not bubble, but can be captured.
_FOLLOW_FILM = """() => {
    const follow = ({target}) => {
        const pair = target.matches?.('video.after') ? target.closest('.pair') : null;
        const other = pair?.querySelector('video.before');
        if (!other) return;
        const wanted = target.currentTime + Number(pair.dataset.start);
        if (Math.abs(other.currentTime - wanted) > (target.paused ? 0.01 : 0.15)) other.currentTime = wanted;
        other.playbackRate = target.playbackRate;
        if (target.paused !== other.paused) target.paused ? other.pause() : other.play();
    };
    for (const name of ['play', 'pause', 'seeking', 'seeked', 'timeupdate', 'ratechange', 'loadeddata'])
        document.addEventListener(name, follow, true);
}"""

_POLL_EVERY = 2.0  # seconds; after a click the page looks at once
Seen = dict[int | str, Any]
"""What each live part was last shown for, by its number; and the open "project" and the "pill" of the page's head."""


def build_page(desk: Desk) -> gr.Blocks:
    """The page over a folder of projects and its queue."""
    with gr.Blocks(title="faceswap", analytics_enabled=False, delete_cache=(_KEPT, _KEPT), fill_width=True) as blocks:
        page = _Page(desk)
        page.lay_out()
        page.connect(blocks)
    return blocks


class _Page:
    """The head, the tabs, and what keeps them up to date."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._project_tab, self._faces_tab = ProjectTab(desk), FacesTab(desk)
        self._train_tab, self._swap_tab, self._queue_tab = TrainTab(desk), SwapTab(desk), QueueTab(desk)
        self._evaluate_tab, self._verify_tab = EvaluateTab(desk), VerifyTab(desk)
        self._latent_tab = LatentTab(desk)

    def lay_out(self) -> None:
        """Puts everything in its place."""
        self._seen = gr.State({})
        self._clock = gr.Timer(_POLL_EVERY)

        with gr.Row(elem_id="head"):
            with gr.Column(scale=0, min_width=150):
                gr.HTML(_BRAND)
            self._project = gr.Dropdown(
                show_label=False, container=False, min_width=300, scale=0, elem_id="project", label="Project"
            )
            self._pill = gr.HTML(min_width=200)

        self._faces_tab.lay_out_hidden()
        self._queue_tab.lay_out_hidden()
        self._swap_tab.lay_out_hidden()

        with gr.Tabs() as self._tabs:
            with gr.Tab("1 Project", id="project"):
                self._project_tab.lay_out()
            with gr.Tab("2 Faces", id="faces") as self._faces:
                self._faces_tab.lay_out()
            with gr.Tab("3 Train", id="train"):
                self._train_tab.lay_out()
            with gr.Tab("4 Swap", id="swap") as self._swap:
                self._swap_tab.lay_out()
            with gr.Tab("Evaluate", id="evaluate"):
                self._evaluate_tab.lay_out()
            with gr.Tab("Queue", id="queue"):
                self._queue_tab.lay_out()
            with gr.Tab("Latent", id="latent"):
                self._latent_tab.lay_out()
            with gr.Tab("Verify", id="verify"):
                self._verify_tab.lay_out()

    def connect(self, blocks: gr.Blocks) -> None:
        """Says what happens when."""
        project = self._project

        events = [*self._project_tab.connect(project), *self._faces_tab.connect(project, self._faces.select)]
        events += [*self._train_tab.connect(project), *self._swap_tab.connect(project, self._swap.select)]
        events += self._evaluate_tab.connect(project)
        self._verify_tab.connect(project)
        self._latent_tab.connect(project)

        for tab, then in ((self._project_tab, "faces"), (self._faces_tab, "train"), (self._train_tab, "swap")):
            tab.next.click(lambda then=then: gr.Tabs(selected=then), None, self._tabs, **QUICK)

        self._live = [*self._project_tab.live, *self._faces_tab.live, *self._train_tab.live]
        self._live += [*self._swap_tab.live, *self._queue_tab.live, *self._verify_tab.live, *self._evaluate_tab.live]
        self._live += self._latent_tab.live
        everything = [self._seen, self._pill, *(live.component for live in self._live)]
        refresh = {"fn": self._refresh, "inputs": [self._seen, project], "outputs": everything, **QUICK}

        blocks.load(self._choose, None, project, **QUICK).then(None, None, None, js=_FOLLOW_TAB, **QUICK)
        blocks.load(None, None, None, js=_FOLLOW_FILM, **QUICK)
        blocks.load(None, None, None, js=FOLLOW_CLICKS, **QUICK)
        self._pill.change(None, self._pill, None, js=_TITLE, **QUICK)
        for tab in self._tabs.children:
            tab.select(None, None, None, js=_REMEMBER_TAB, **QUICK)

        project.change(**refresh).then(None, project, None, js=_REMEMBER, **QUICK)
        self._clock.tick(**refresh)
        for event in events:
            event.then(**refresh)

    def _choose(self, request: gr.Request) -> Any:
        """The project that the address names, else the one that was worked on last."""
        names, named = self._desk.projects.names(), request.query_params.get("project")
        return gr.Dropdown(choices=names, value=named if named in names else self._desk.projects.last())

    def _refresh(self, seen: Seen, name: str | None) -> list[Any]:
        """Everything on the page whose place on the disk has changed since this window last looked."""
        pill = _pill(self._desk.queue)

        now: Seen = {}
        updates: list[Any] = [gr.skip()] * len(self._live)

        try:
            project = self._desk.projects.open(name)
            fresh = seen.get("project") != project.name
            now["project"] = project.name
            for number, live in enumerate(self._live):
                now[number], updates[number] = self._updated(live, project, fresh, None if fresh else seen.get(number))
        except FaceswapError as error:  # a file that was edited by hand, for example
            pill = cards.trouble(text_of(error)) if name else pill
        pill += cards.visitor(self._desk.projects.who())
        now["pill"] = pill

        return [now, gr.skip() if seen.get("pill") == pill else pill, *updates]

    def _updated(self, live: Live, project: Project, fresh: bool, before: Any) -> tuple[Any, Any]:
        """What a part depends on now, and its update if that is another than before."""
        try:
            state = (live.state(project),)
            return state, gr.skip() if state == before else live.show(project, fresh)
        except OSError:  # a file was removed or replaced just now: the next look will see
            return before, gr.skip()


def _pill(queue: Counter) -> str:
    """What is going on, as far as the visitor may see it."""
    jobs = queue.jobs()
    running = next((job for job in jobs if job.status in (RUNNING, STOPPING)), None)
    waiting = sum(job.status == WAITING for job in jobs)
    last = max((job for job in jobs if job.over), key=lambda job: job.ended, default=None)
    return cards.pill(running, queue.report(running) if running else None, waiting, last, queue.hidden())
