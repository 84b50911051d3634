"""The command `faceswap`: a file for each of its commands, put together here.

Everything heavy is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

import faceswap
from faceswap_cli.batch import batch
from faceswap_cli.demo import demo
from faceswap_cli.evaluate import evaluate
from faceswap_cli.extract import extract
from faceswap_cli.faces import faces_app
from faceswap_cli.latent import latent_app
from faceswap_cli.page import page
from faceswap_cli.project import project_app
from faceswap_cli.swap import swap
from faceswap_cli.terminal import tell_usage
from faceswap_cli.train import train
from faceswap_cli.user import user_app
from faceswap_cli.verify import verify
from faceswap_pipelines.common.cpu import keep_freed_memory, sleep_while_waiting
from faceswap_pipelines.common.protocol import EXIT_STOPPED, EXIT_USAGE, print_stacks_on_signal

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Swap faces in video: one shared encoder, one decoder per person, trained in minutes.",
)
for command in (demo, extract, train, swap, batch, evaluate, verify):
    app.command()(command)
app.command("app")(page)
app.add_typer(faces_app, name="faces")
app.add_typer(latent_app, name="latent")
app.add_typer(project_app, name="project")
app.add_typer(user_app, name="user")


def main() -> None:
    """What `start.main` begins, once this is imported."""
    print_stacks_on_signal()
    keep_freed_memory()

    if "app" not in sys.argv[1:2]:  # the page stays: each of its jobs looks for itself how busy the machine is then
        sleep_while_waiting()
    if isinstance(sys.stdout, TextIOWrapper):  # it is told names of files, which need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 otherwise writes its settings over the progress bars

    if "--json" in sys.argv:
        _run_for_programs()
    app()


def _run_for_programs() -> NoReturn:
    """The same where results are JSON: what the parser finds wrong is JSON, too."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(EXIT_STOPPED)
    except Exception as error:
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        tell_usage(format_message())
        sys.exit(EXIT_USAGE)
    sys.exit(code if isinstance(code, int) else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(faceswap.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the program itself."""
