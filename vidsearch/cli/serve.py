"""`vidsearch serve`: the library in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from vidsearch import dirs, extras
from vidsearch.cli import options, show
from vidsearch.cli.late import typer
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL, DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer
    from vidsearch.serving.guard import Access

DEFAULT_PORT = 8811
LOOPBACK = "127.0.0.1"
_EVERY_ADDRESS = ("0.0.0.0", "::")


def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Listen on this address, for other machines too; a link with a token is then needed.",
        ),
    ] = LOOPBACK,
    model: options.Model = DEFAULT_MODEL,
    ask_model: Annotated[
        str,
        typer.Option("--ask-model", envvar="VIDSEARCH_ASK_MODEL", metavar="NAME", help="The model that answers."),
    ] = DEFAULT_ANSWERING_MODEL,
    device: options.Device = "auto",
    conversions: Annotated[
        int, typer.Option("--conversions", min=1, max=32, help="Videos converted for browsers at a time.")
    ] = 2,
    open_browser: Annotated[bool, typer.Option("--open", help="Also open the page in the browser.")] = False,
) -> None:
    """Search, watch, ask and export in a browser on this machine. Ctrl-C ends it.

    Nobody else can reach the page unless --host names another address; then a link with a token is printed, and only
    who has it gets in. Videos are only read.

    Example: vidsearch serve --open
    """
    with extras.needing("The page in the browser"):
        from vidsearch.serving.app import application
        from vidsearch.serving.server import bound_socket
        from vidsearch.serving.server import serve as serve_app
        from vidsearch.serving.start import make_parts

    def open_answerer() -> Answerer:
        from vidsearch.answering.answerer import open_answerer as open_model
        from vidsearch.cli.memory import keep_freed_memory

        keep_freed_memory()
        return open_model(ask_model, device=device)

    parts = make_parts(dirs.home_dir(), model, ask_model, open_answerer, device=device, conversions=conversions)
    with closing(parts.catalogue.library), bound_socket(host, port) as listening:
        access = _access(host, listening.getsockname()[1])
        url = _url(host, access)

        def ready() -> None:
            show.write(f"{url}\n")
            if access.token is not None:
                show.say("Whoever has this link can see every video of the library; traffic is not encrypted.")
            show.say("Ctrl-C ends the server.")
            if open_browser:
                webbrowser.open(url)

        serve_app(application(parts, access), listening, ready)


def _access(host: str, port: int) -> Access:
    from vidsearch.serving.guard import LOOPBACK_NAMES, Access, new_token

    if host in (LOOPBACK, "localhost", "::1"):
        return Access(port)
    name = f"[{host}]" if ":" in host else host
    return Access(port, (*LOOPBACK_NAMES, name.lower()), host in _EVERY_ADDRESS, new_token())


def _url(host: str, access: Access) -> str:
    """What a person opens; every address is shown as this machine's own name for itself."""
    name = LOOPBACK if host in _EVERY_ADDRESS else f"[{host}]" if ":" in host else host
    token = "" if access.token is None else f"?token={access.token}"
    return f"http://{name}:{access.port}/{token}"
