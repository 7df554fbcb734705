"""`vidsearch models`: which models there are, which are here, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch import dirs, json_forms
from vidsearch.cli import completing, models_export, models_profile, options, pull, show
from vidsearch.errors import EXIT_MODEL

if TYPE_CHECKING:
    from vidsearch.models.folder import ModelFolder
    from vidsearch.models.inventory import ModelEntry

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A model's name; see vidsearch models list.", autocompletion=completing.models),
]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, fetch, add, check and remove models.")
app.command("pull")(pull.pull)
app.command("export")(models_export.export)
app.command("profile")(models_profile.profile)


@app.command("list")
def list_models(as_json: options.Json = False) -> None:
    """All models that vidsearch knows: what each is for, whether it is here, its size, source and licence."""
    from vidsearch.models.inventory import entries

    found = entries(dirs.models_dir())
    if as_json:
        show.write_json({"version": json_forms.VERSION, "models": [_entry_as_dict(entry) for entry in found]})
        return
    show.table_or_lines(
        ("model", "state", "size", "for", "licence", "source"),
        [
            (
                entry.known.name,
                entry.state,
                show.size_text(entry.size_bytes),
                entry.known.purpose,
                entry.known.licence,
                entry.known.source,
            )
            for entry in found
        ],
        right={"size": True},
    )


def _entry_as_dict(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.known.name,
        "state": entry.state,
        "size_bytes": entry.size_bytes,
        "purpose": entry.known.purpose,
        "source": entry.known.source,
        "files": list(entry.known.files),
        "licence": entry.known.licence,
        "path": None if entry.path is None else str(entry.path),
        "problem": entry.problem,
    }


@app.command()
def info(name: Name, as_json: options.Json = False) -> None:
    """What is known of a model that is here: its network, where it came from, and what its self-test found."""
    from vidsearch.models.folder import find_model

    folder = find_model(name, dirs.models_dir())
    facts = _facts(folder)
    if as_json:
        show.write_json({"version": json_forms.VERSION, **facts})
    else:
        show.table_or_lines(("", ""), list(_rows(facts, folder.family.summary(folder.network))))


def _facts(folder: ModelFolder) -> dict[str, Any]:
    """The stable JSON form; documented in docs/json.md."""
    from vidsearch.models.findings import kept_findings
    from vidsearch.models.hashes import kept_hashes
    from vidsearch.models.inventory import exports, parameters
    from vidsearch.models.score_levels import levels_of

    levels = levels_of(folder, dirs.models_dir())
    return {
        "name": folder.name,
        "kind": {"embedding": "search", "vqa": "answers"}[folder.task],
        "family": folder.family.name,
        "origin": folder.origin,
        "path": str(folder.path),
        "network": dict(folder.network),
        "parameters": parameters(folder),
        "exports": exports(folder),
        "provenance": dict(folder.provenance),
        "hashes": kept_hashes(folder),
        "score_levels": None if levels is None else levels.to_dict(),
        "score_levels_file": None if levels is None or levels.path is None else str(levels.path),
        "self_test": [{"what": item.what, "ok": item.ok, "note": item.note} for item in kept_findings(folder)],
    }


def _rows(facts: dict[str, Any], summary: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What a person reads, a line each."""
    provenance = facts["provenance"]
    return [
        ("model", f"{facts['name']} ({facts['origin']})"),
        ("folder", facts["path"]),
        *summary,
        *(("parameters", f"{part}: {count:,}") for part, count in sorted(facts["parameters"].items())),
        *(_level_rows(facts) if facts["kind"] == "search" else ()),
        *(("exported", f"{name}, {show.size_text(size)}") for name, size in facts["exports"].items()),
        *((key, str(provenance[key])) for key in ("source", "licence", "command") if key in provenance),
        *(("made from", f"{file['name']}, sha256 {file['sha256']}") for file in provenance.get("files", ())),
        *(("fetched", _fetched(file)) for file in provenance.get("fetched", ())),
        *(("note", note) for note in provenance.get("notes", ())),
        *(("file", f"{name}, sha256 {digest}") for name, digest in facts["hashes"].items()),
        *(("self-test", f"{_word(item['ok'])}: {item['what']}: {item['note']}") for item in facts["self_test"]),
    ]


def _level_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """From which score on a hit is high, medium or low, and who measured that."""
    levels = facts["score_levels"]
    if levels is None:
        return [("levels", "never measured; vidsearch train calibrate measures them")]
    how = levels.get("measured", {})
    counts = ", ".join(f"{how[name]} {name}" for name in ("videos", "present", "absent") if name in how)
    return [
        ("levels", ", ".join(f"{name} from {levels[name]:.4f}" for name in ("high", "medium", "low"))),
        *([("measured", f"{how.get('date', '')}: {counts}; {how.get('rule', '')}")] if how else []),
        *([("measured in", facts["score_levels_file"])] if facts["score_levels_file"] else []),
    ]


def _fetched(file: dict[str, Any]) -> str:
    """Whether a hash says that the file is what its publisher meant, or only that it has not changed since."""
    proof = "has its published hash" if file["hash_published"] else "no hash published; later fetches must equal it"
    return f"{file['name']} on {file['date']} from {file['source']}: {proof}"


def _word(ok: bool | None) -> str:
    return {True: "ok", False: "WRONG", None: "measured"}[ok]


@app.command()
def add(
    name: Name,
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            parser=options.given_path,
            metavar="FILE|FOLDER",
            help="The published file, or the folder with the files.",
        ),
    ],
    half: pull.Half = False,
    as_stored: pull.AsStored = False,
    renames: Annotated[
        Path | None,
        typer.Option("--renames", metavar="FILE", help='MobileViCLIP: JSON, {"key in the file": "our key", ...}.'),
    ] = None,
    folded: Annotated[
        bool | None,
        typer.Option("--folded/--unfolded", help="MobileViCLIP: how to read temporal convolutions without a norm."),
    ] = None,
) -> None:
    """Install a model from files that are here: read, converted, examined, and only then put in its place.

    Nothing in the files is executed. A model of that name that is installed already is replaced. A model that answers
    comes from several repositories: give a folder that holds the files of all of them, in folders of their own or not.
    The names of MobileViCLIP's temporal weights are not public: they are found by structure; --renames overrides that.

    Examples: vidsearch models add mobileviclip-small --from ~/Downloads/mobileviclip

    vidsearch models add mobilevideogpt-0.5b --from ~/Downloads/mobilevideogpt
    """
    precision = pull.precision(half, as_stored)
    from vidsearch.models.conversion.install import install
    from vidsearch.models.findings import kept_findings
    from vidsearch.models.json_files import read_renames

    given = None if renames is None else read_renames(options.absolute(renames))
    show.say(f"Reading {source} ...")
    folder = install(name, options.absolute(source), dirs.models_dir(), renames=given, folded=folded, dtype=precision)
    for finding in kept_findings(folder):
        show.say(f"  {_word(finding.ok)}: {finding.what}: {finding.note}")
    show.say(f"Installed {folder.name} in {folder.path}.")


@app.command()
def remove(name: Name) -> None:
    """Delete an installed model. Vectors made with it stay in the library; see vidsearch remove --model."""
    from vidsearch.models.inventory import remove_model
    from vidsearch.models.score_levels import own_levels_file

    show.say(f"Removed {remove_model(name, dirs.models_dir())}.")
    if (levels := own_levels_file(name, dirs.models_dir())).exists():
        show.say(f"The score levels that you measured for {name} stay in {levels}, for when it comes back.")


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all that are here.")] = None,
    as_json: options.Json = False,
) -> None:
    """Compare every file of the models that are here with its hash. Exit code 5 when one has changed."""
    from vidsearch.models.folder import find_model
    from vidsearch.models.hashes import wrong_files
    from vidsearch.models.inventory import entries

    directory = dirs.models_dir()
    wanted = names or [entry.known.name for entry in entries(directory) if entry.path is not None]
    problems = {name: wrong_files(find_model(name, directory)) for name in wanted}
    if as_json:
        show.write_json({"version": json_forms.VERSION, "problems": problems})
    else:
        for name, found in problems.items():
            show.write(f"{name}\t{'; '.join(found) or 'whole'}\n")
    if any(problems.values()):
        show.say("Install again what has changed: vidsearch models pull NAME --force, or add NAME --from FOLDER.")
        raise typer.Exit(EXIT_MODEL)
