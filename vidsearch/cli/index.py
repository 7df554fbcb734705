"""`vidsearch index`: bring the library up to date with folders of videos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from vidsearch import dirs, json_forms
from vidsearch.cli import options, pull, show
from vidsearch.cli.late import typer
from vidsearch.cli.lists import listed_paths
from vidsearch.errors import EXIT_SOME_FAILED, VidsearchError
from vidsearch.extras import require
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.store.interface import Library

DAY_S = 86_400
DEFAULT_STRIDE_S = 4.0


def _span(seconds: float) -> float:
    """The value of an option in seconds; BadParameter unless it is a number from 0.1 to a day."""
    if not 0.1 <= seconds <= DAY_S:
        raise typer.BadParameter(f"{seconds:g} is not from 0.1 to {DAY_S} seconds")
    return seconds


def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(parser=options.given_path, metavar="PATH...", help="Folders to walk, or single files."),
    ] = None,
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from",
            parser=options.given_path,
            metavar="FILE",
            help="Also what FILE lists, one a line; - is stdin.",
        ),
    ] = None,
    null: Annotated[bool, typer.Option("-0", help="With --files-from: names end with a NUL byte.")] = False,
    model: options.Model = DEFAULT_MODEL,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            parser=options.given_path,
            metavar="FILE|FOLDER",
            help="Install the model from this checkpoint first.",
        ),
    ] = None,
    window: Annotated[
        float, typer.Option("--window", callback=_span, metavar="SECONDS", help="Length of a window.")
    ] = 8.0,
    stride: Annotated[
        float, typer.Option("--stride", callback=_span, metavar="SECONDS", help="A new window every ...")
    ] = DEFAULT_STRIDE_S,
    windows: Annotated[
        str,
        typer.Option(
            "--windows",
            metavar="grid|shots",
            callback=options.one_of("grid", "shots"),
            help="grid: one every --stride. shots: one a shot, for edited footage; a long one is cut every --window.",
        ),
    ] = "grid",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="Leave out what matches, as in .gitignore; repeatable."),
    ] = None,
    include_hidden: Annotated[
        bool, typer.Option("--include-hidden", help="Also files and folders named .like-this.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Videos decoded at a time; default: one a core.")
    ] = None,
    still: Annotated[
        str,
        typer.Option(
            "--still",
            metavar="reuse|embed",
            callback=options.one_of("reuse", "embed"),
            help="A window that shows what an earlier one showed takes over its vector (reuse), or gets its own.",
        ),
    ] = "reuse",
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    decoder_memory: options.DecoderMemory = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Walk folders in place and index every video that is new or has changed.

    Files are only read. A second run touches only what changed; a run that was cut off goes on where it was. Exit code
    3 when some videos could not be read: they are listed with the reason, and skipped until they change.

    Example: vidsearch index ~/Videos --exclude raw --exclude '*.part.mp4'
    """
    roots = [options.absolute(path) for path in _given(paths, files_from, null)]
    from vidsearch.cli.index_report import IndexReport
    from vidsearch.cli.memory import keep_freed_memory
    from vidsearch.embedding.long_runs import open_executor
    from vidsearch.machine import cores
    from vidsearch.models.folder import find_model
    from vidsearch.records import WindowSpec
    from vidsearch.workflows.index import IndexOptions, index_folders

    if stride > window and windows == "grid":
        raise typer.BadParameter(
            f"--stride {stride:g} is longer than --window {window:g}: seconds between would be lost"
        )
    if windows == "shots":
        if stride != DEFAULT_STRIDE_S:
            raise typer.BadParameter(f"--stride {stride:g} goes with --windows grid; shots are cut where they cut")
        require("index --windows shots", "scenedetect")
    for pattern in exclude or ():
        _warn_of_pattern(pattern, roots)
    if weights is not None:
        _install(model, options.absolute(weights))
    folder = find_model(model, dirs.models_dir(), "embedding") if dry_run else pull.find_or_offer(model, "embedding")
    preprocessing = folder.embedding.preprocessing
    wanted = IndexOptions(
        model=folder.name,  # another one than asked for, if a person chose it instead
        frame_spec=preprocessing.frame_spec,
        window_spec=WindowSpec(window, window, preprocessing.frames, "shots")
        if windows == "shots"
        else WindowSpec(window, stride, preprocessing.frames),
        exclude=tuple(exclude or ()),
        include_hidden=include_hidden,
        retry_failed=retry_failed,
        dry_run=dry_run,
        jobs=jobs or cores(),
        models_dir=dirs.models_dir(),
        device=device,
        runtime=runtime,
        still="embed" if still == "embed" else "reuse",
    )

    keep_freed_memory()
    report = IndexReport(window_spec=wanted.window_spec, dry_run=dry_run, live=not as_json)
    with _library(dry_run=dry_run) as library, report:
        open_embedder = wanted.embed_spec.open_embedder
        for outcome in index_folders(roots, library, open_embedder, wanted, open_executor=open_executor):
            report.add(outcome)
    if as_json:
        show.write_json({"version": json_forms.VERSION, **report.as_dict()})
    raise typer.Exit(EXIT_SOME_FAILED if report.failed else 0)


def _given(paths: list[Path] | None, files_from: Path | None, null: bool) -> list[Path]:
    """What is to be indexed. BadParameter if nothing is named, VidsearchError for a list that names nothing."""
    if files_from is None:
        if null:
            raise typer.BadParameter("-0 goes with --files-from")
        if not paths:
            raise typer.BadParameter("name the folders or files to index, or a list of them with --files-from")
        return paths
    listed = listed_paths(files_from, null=null)
    if not listed and not paths:
        raise VidsearchError(f"{files_from} lists nothing to index.")
    return [*(paths or ()), *listed]


def _warn_of_pattern(pattern: str, roots: list[Path]) -> None:
    """A pattern is relative to each folder given: a path as the shell has it matches nothing, which is told."""
    bare = pattern.removeprefix("!")
    inside = next((root for root in roots if bare.startswith(f"{root}/")), None)
    if bare.startswith("./"):
        better = bare[1:]
    elif inside is not None:
        better = bare[len(str(inside)) :]
    elif bare.startswith("../") or (bare.startswith("/") and Path(bare).exists()):
        better = ""
    else:
        return
    advice = f"write {better}" if better else "it lies outside"
    show.say(f"vidsearch: --exclude {pattern} matches nothing: patterns are relative to the folder indexed; {advice}.")


def _install(model: str, source: Path) -> None:
    from vidsearch.models.conversion.install import install

    show.say(f"Installing {model} from {source} ...")
    install(model, source, dirs.models_dir())


@contextmanager
def _library(*, dry_run: bool) -> Iterator[Library]:
    """The user's library, made where there is none; a dry run makes an empty one that is thrown away."""
    with ExitStack() as stack:
        home = dirs.home_dir()
        if dry_run and not home.exists():
            home = Path(stack.enter_context(TemporaryDirectory(prefix="vidsearch-dry-run-")))
        yield stack.enter_context(options.open_library(home, create=True))
