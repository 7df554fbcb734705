"""`vidsearch models export`: a model as a file for the runtimes of phones, run and compared before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch import dirs, json_forms
from vidsearch.cli import options, show

if TYPE_CHECKING:
    from vidsearch.models.exports import Card, Fidelity

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A model's name; with --check the card beside the file knows it.")
]


def export(
    name: Name = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TARGET", help="onnx, executorch, coreml (iOS 17), coreml-ios18 or litert."),
    ] = None,
    towers: Annotated[
        str, typer.Option("--towers", metavar="NAMES", help="clip (frames), text (words), or both.")
    ] = "clip,text",
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="Of the weights: fp32, fp16 or int8-weights.")
    ] = "fp32",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=options.given_path,
            metavar="DIR",
            help="Folder for the files; default: where index --runtime onnx looks.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", parser=options.given_path, metavar="FILE", help="Write nothing: run this export and compare it."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a model's towers for ONNX Runtime, ExecuTorch, Core ML or LiteRT, each with a card: its contract.

    Every file is run and its vectors are compared with torch's; one that is wrong is not kept, and the message names
    the first layer that differs. Exit code 5 then. docs/mobile.md says what each target needs.

    Examples: vidsearch models export mobileviclip-tiny --to coreml --towers clip --precision fp16 -o exported

    vidsearch models export --check exported/mobileviclip-tiny-clip-fp16.mlpackage
    """
    if (to is None) == (check is None):
        raise typer.BadParameter("give either --to TARGET, which writes, or --check FILE, which writes nothing")
    if check is not None:
        rows = [_checked(options.absolute(check), name)]
    elif name is None:
        raise typer.BadParameter("give the NAME of the model to export; see vidsearch models list")
    else:
        rows = list(_exported(name, str(to), towers, precision, out))
    if as_json:
        show.write_json({"version": json_forms.VERSION, "exports": rows})
    else:
        show.table_or_lines(_HEADINGS, [_shown(row) for row in rows], right={"size": True})


_HEADINGS = ("file", "size", "cosine", "centred", "seconds", "run with")


def _exported(name: str, to: str, towers: str, precision: str, out: Path | None) -> Iterator[dict[str, Any]]:
    from vidsearch.models.conversion.mobile.export import export_model
    from vidsearch.models.conversion.mobile.targets import tower_names
    from vidsearch.models.exports import exports_dir
    from vidsearch.models.folder import find_model

    wanted = tower_names(towers)
    folder = find_model(name, dirs.models_dir(), "embedding")
    place = options.absolute(out) if out is not None else exports_dir(dirs.models_dir(), folder.name)
    show.say(f"Exporting {folder.name} to {to} ...")
    for exported in export_model(folder, to, wanted, precision, place):
        yield _row(exported.path, exported.card, exported.fidelity)


def _checked(path: Path, name: str | None) -> dict[str, Any]:
    from vidsearch.models.conversion.mobile.export import check_export
    from vidsearch.models.exports import read_card
    from vidsearch.models.folder import find_model

    folder = find_model(name or read_card(path).model, dirs.models_dir(), "embedding")
    return _row(path, *check_export(path, folder))


def _row(path: Path, card: Card, found: Fidelity) -> dict[str, Any]:
    """The stable JSON form; documented in docs/json.md."""
    from dataclasses import asdict

    return {
        "path": str(path),
        "model": card.model,
        "tower": card.tower,
        "target": card.target,
        "precision": card.precision,
        "size_bytes": card.size_bytes,
        "conversion_s": card.conversion_s,
        "ran_with": card.ran_with,
        "fidelity": asdict(found),
    }


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    found = row["fidelity"]
    return (
        row["path"],
        show.size_text(row["size_bytes"]),
        f"{found['cosine']:.6f}",
        f"{found['centred']:.6f}",
        f"{row['conversion_s']:.1f}",
        row["ran_with"],
    )
