"""`vidsearch schema`: the JSON Schema of what a command prints with --json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from vidsearch.cli import show
from vidsearch.cli.late import typer

FOLDER = Path(__file__).parents[1] / "schemas"


def schema_names() -> list[str]:
    """The results that have a schema."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def schema(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A result: query, hit (a line of --jsonl) ...")] = "",
) -> None:
    """Print the JSON Schema of a result, or the names of all of them.

    Within one version fields are added, never renamed or removed: a reader ignores what it does not know.
    """
    if not name:
        show.write("".join(f"{known}\n" for known in schema_names()))
    elif name in schema_names():
        show.write((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    else:
        raise typer.BadParameter(f"{name!r} has no schema; known are {', '.join(schema_names())}")
