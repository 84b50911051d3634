"""The command `faceswap app`: the web page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.terminal import UsageError, job_errors

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([MGT])B?", re.IGNORECASE)
_BYTES = {"M": 10**6, "G": 10**9, "T": 10**12}


def page(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; this computer only, unless --auth or --users is given.")
    ] = "127.0.0.1",
    projects: Annotated[Path, typer.Option(help="Folder of the projects, made if need be.")] = Path("projects"),
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD",
            envvar="FACESWAP_AUTH",
            help="Ask visitors for this. On a command line others on this computer can read it: rather set the"
            " variable, or use --users.",
        ),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="FACESWAP_USERS",
            help="Who may log in, made by 'faceswap user add'. Each has projects of their own, and may share them.",
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="/PATH", help="Where a proxy has the page, if not at the top of its name.")
    ] = "",
    quota_disk: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Disk that each user may have, for example 50GB.")
    ] = None,
    quota_jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Jobs that each user may have waiting and running.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Note there who did what.",
            show_default="PROJECTS/.log/page.log where visitors log in",
        ),
    ] = None,
) -> None:
    """Open the web page that does the whole job: footage, faces, training, swapping."""
    with job_errors():
        from faceswap_app.page import launch
        from faceswap_app.quotas import Quotas
        from faceswap_app.server import Server

        server = Server(
            projects=projects,
            host=host,
            port=port,
            auth=auth,
            users=users,
            root_path=root_path.rstrip("/"),
            quotas=Quotas(disk=size(quota_disk) if quota_disk else None, jobs=quota_jobs),
            log=log,
        )
        launch(server)


def size(text: str) -> int:
    """Bytes of "50GB". Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"'{text}' is no size", "Write it as 500MB, 50GB or 2TB")
    return int(float(found[1]) * _BYTES[found[2].upper()])
