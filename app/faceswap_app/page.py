"""The server: the page on this computer only, unless visitors must log in; nothing is sent anywhere."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from faceswap.errors import FaceswapError, OutputError
from faceswap_app.door import Door, House
from faceswap_app.journal import Journal
from faceswap_app.projects import UPLOADS, Projects
from faceswap_app.server import Server, check, in_url, port_in_use
from faceswap_app.users import Users

if TYPE_CHECKING:  # it takes seconds to import: not for what is wrong already
    import gradio as gr

    from faceswap_app.desk import Desk
    from faceswap_app.jobs import QueuedJob
    from faceswap_app.keeper import Keeper
    from faceswap_app.queue import Queue

_LARGEST_UPLOAD = "4gb"
_THREADS = 100  # that answer clicks: some wait for a picture's turn
_AUTH_MESSAGE = "After three wrong passwords the next one is looked at only after a while: wait, and try again."
_EMPTY_EVERY = 600.0  # seconds: what has been in the bin for a week goes


def launch(server: Server) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: an unsafe or impossible setting, or a users' file that cannot be used.
        OutputError: the projects folder or the log cannot be written to.
    """
    from faceswap_app.keeper import Keeper

    users = check(server)
    projects, queue = open_folder(server.projects)
    # Torch silences this of its own import, but a thread that imports it can lose that to another one's catch_warnings.
    warnings.filterwarnings("ignore", message="Warning only once for all operators")

    try:
        journal = Journal(server.noted)
    except OutputError:
        queue.close()
        raise

    with closing(journal), closing(queue):  # the queue first: jobs that are stopped then are noted
        queue.tell_ends(partial(note_end, journal))
        _tell_of_nobodys(server, projects)
        _prepare_gradio(projects)
        desk = _desk(server, projects, queue, journal)
        desk.excerpts.sweep()  # a page that was killed has left some
        house = House(
            local=users is None,
            named=server.named,
            users=users,
            projects=desk.projects,
            queue=queue,
            quota=desk.quota,
            journal=journal,
        )
        page = build(desk)
        serve(page, house, server)

        print(f"Open {server.url} in a browser. Ctrl-C ends the page.", file=sys.stderr)
        loader = threading.Thread(target=_load_the_rest, args=(queue,), daemon=True)
        loader.start()
        _wait_for_the_end(Keeper(projects, queue))
        page.close(verbose=False)
        desk.excerpts.sweep()
        loader.join()  # a program that ends while torch is being loaded is aborted, with a word from C++


def note_end(journal: Journal, job: QueuedJob) -> None:
    """Whose job has ended, what it was, how it ended, and after how many seconds."""
    journal.note(
        "job ended",
        who=job.owner,
        project=job.project,
        job=job.id,
        title=job.title,
        status=job.status,
        reason=job.reason,
        seconds=round(job.ended - job.begun) if job.begun else None,
    )


def open_folder(projects: Path) -> tuple[Projects, Queue]:
    """The projects in a folder, which is made if need be, and their jobs.

    Raises OutputError if it cannot be written to, or another page has it open.
    """
    from faceswap_app.files import make_folder
    from faceswap_app.queue import Queue

    make_folder(projects)
    known = Projects(projects)
    return known, Queue(known.folder)


def _tell_of_nobodys(server: Server, projects: Projects) -> None:
    """Say which projects nobody sees, since they were made where visitors had no names."""
    lost = [name for name in projects.names() if not projects.standing(name).owner] if server.named else []
    if lost:
        named = ", ".join(lost[:5]) + ", ..." * (len(lost) > 5)
        print(f"Nobody's projects, which no user sees: {named}. Give them away: faceswap project give", file=sys.stderr)


def _prepare_gradio(projects: Projects) -> None:
    """Say what is read while gradio is imported, and whenever a page is built."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Uploads would otherwise go to a folder in /tmp that all users of the computer share, often held in memory.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(projects.folder / UPLOADS))


def _desk(server: Server, projects: Projects, queue: Queue, journal: Journal) -> Desk:
    """The desk for all visitors, each of whom sees their own, if they have names."""
    gc.disable()  # nothing of what is imported is garbage: without looking for any, the page opens a second earlier
    try:
        from faceswap_app.access import everybody
        from faceswap_app.desk import open_desk
        from faceswap_app.scribe import Scribe
        from faceswap_app.visitors import address, named_visitor, visitor
    finally:
        gc.enable()

    who = named_visitor if server.named else everybody
    scribe = Scribe(journal, visitor, address)
    return open_desk(Projects(projects.folder, who), queue, server.quotas, scribe)


def build(desk: Desk) -> gr.Blocks:
    """The page, not served yet."""
    gc.disable()  # as above
    try:
        from faceswap_app.layout import build_page

        return build_page(desk)
    finally:
        gc.enable()


def serve(page: gr.Blocks, house: House, server: Server) -> None:
    """Start serving, in a thread of its own, with everything turned off that could give something away."""
    from faceswap_app.theme import CSS, THEME

    assert house.projects is not None
    try:
        page.launch(
            server_name=in_url(server.host),
            server_port=server.port,
            root_path=server.root_path,
            auth=_login(house.users),
            auth_message=_AUTH_MESSAGE,
            share=False,
            max_file_size=_LARGEST_UPLOAD,
            max_threads=_THREADS,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            prevent_thread_lock=True,
            quiet=True,
            css=CSS,
            theme=THEME,
            app_kwargs={"middleware": [Middleware(Door, house=house)]},
        )
    except OSError as error:  # someone took the port since the address was checked
        raise port_in_use(server.port) from error

    page.allowed_paths = house.projects.served  # asked at each request: projects that are made later are in it


def _login(users: Users | None) -> object:
    """What gradio asks whether a password is right; nothing where nobody logs in."""
    return None if users is None else users.is_right


def _load_the_rest(queue: Queue) -> None:
    """What the first look at faces or a model needs, while the visitor still reads the first tab."""
    from faceswap_app import backend

    queue.use_devices(backend.warm_up())


def _wait_for_the_end(keeper: Keeper) -> None:
    """Returns on Ctrl-C or SIGTERM; empties the bin meanwhile of what has been there for long enough."""
    end = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: end.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }

    try:
        while True:
            with suppress(FaceswapError):  # a disk that refuses, perhaps: there is a next time
                keeper.empty()
            if end.wait(_EMPTY_EVERY):
                break
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
