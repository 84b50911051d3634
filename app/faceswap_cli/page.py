"""The command `faceswap app`: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.terminal import job_errors


def page(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; this computer only, unless --auth is given.")
    ] = "127.0.0.1",
    projects: Annotated[Path, typer.Option(help="Folder of the projects, made if need be.")] = Path("projects"),
    auth: Annotated[str | None, typer.Option(metavar="USER:PASSWORD", help="Ask visitors for this.")] = None,
) -> None:
    """Open the web page that does the whole job: footage, faces, training, swapping."""
    with job_errors():
        from faceswap_app.page import launch

        launch(projects, host, port, auth)
