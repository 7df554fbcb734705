"""`vidsearch models pull`: fetch published weights and install them; `index` and `ask` offer it for what is missing."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vidsearch import dirs
from vidsearch.cli import options, show
from vidsearch.cli.fetch_report import FetchReport
from vidsearch.cli.late import typer
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import require

if TYPE_CHECKING:
    from vidsearch.fetching.fetch import Fetched, FetchPlan
    from vidsearch.fetching.remote import RemoteFile, Report
    from vidsearch.models.families import Task
    from vidsearch.models.folder import ModelFolder
    from vidsearch.models.registry import KnownModel
    from vidsearch.models.request import Precision

    Planner = Callable[[Report], FetchPlan]

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
Half = Annotated[bool, typer.Option("--half", help="Store matrices as float16: half the size on disk.")]
AsStored = Annotated[
    bool, typer.Option("--as-stored", help="Models that answer: keep each tensor as its file stores it.")
]


@dataclass(frozen=True, slots=True)
class _Wishes:
    """How to pull."""

    yes: bool = False  # without a question
    force: bool = False  # also what is here already
    accept_changed: bool = False
    precision: Precision = "float32"


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, a repository ORG/NAME, or a folder.")],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="ORG/NAME|FOLDER", help="Take the model NAME from here, not from its authors."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Fetch without a question.")] = False,
    force: Annotated[bool, typer.Option("--force", "--again", help="Fetch a model that is here already.")] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take a file without published hash that is not what it was.")
    ] = False,
    half: Half = False,
    as_stored: AsStored = False,
) -> None:
    """Fetch a model's published files, check them, and install the model; afterwards no network is needed.

    Size, source and licence are shown first. A fetch that was cut goes on where it was. HF_ENDPOINT, HF_HOME, HF_TOKEN
    and HTTPS_PROXY are respected; VIDSEARCH_OFFLINE=1 forbids the network.

    Example: vidsearch models pull mobileviclip-small
    """
    wishes = _Wishes(yes, force, accept_changed, precision(half, as_stored))
    models_dir = dirs.models_dir()
    model, where = _understood(name, source)
    if model is not None and not force and _is_here(model, models_dir):
        return
    if isinstance(where, Path):
        _install_local(model, where, models_dir, wishes)
        return

    def planned(report: Report) -> FetchPlan:
        from vidsearch.fetching.fetch import plan_published, plan_repository

        if where is not None:
            return plan_repository(where, model, models_dir, report=report)
        assert model is not None  # without a repository the name is a model's
        return plan_published(model, models_dir, report=report)

    if not _pull(planned, model or name, wishes):
        show.say("Nothing was fetched.")


def precision(half: bool, as_stored: bool) -> Precision:
    """What --half and --as-stored say together; BadParameter for both."""
    if half and as_stored:
        raise typer.BadParameter("give --half or --as-stored, not both")
    return "float16" if half else "stored" if as_stored else "float32"


def find_or_offer(model: str, task: Task) -> ModelFolder:
    """The folder of a model; a person at a terminal is asked whether to fetch one that is not here.

    To search, the smaller one that a package index brings is offered beside it: the folder is then of that model.
    ModelError as `find_model`.
    """
    from vidsearch.models.folder import WeightsMissingError, find_model

    try:
        return find_model(model, dirs.models_dir(), task)
    except WeightsMissingError:
        chosen = _chosen(_offers(model, task))
        if chosen is None or not _fetched(chosen):
            raise
    return find_model(chosen.name, dirs.models_dir(), task)


def _offers(model: str, task: Task) -> list[KnownModel]:
    """What can be fetched instead of an error; nothing where nobody can be asked or the network is forbidden."""
    from vidsearch.fetching.web import offline_by
    from vidsearch.models.inventory import entries
    from vidsearch.models.registry import PACKAGED_MODEL, known_model

    if not (_terminal() and known_model(model).weights) or offline_by():
        return []
    missing = {entry.known.name for entry in entries(dirs.models_dir()) if entry.state == "available"}
    others = {PACKAGED_MODEL} & missing - {model} if task == "embedding" else set()
    return [known_model(name) for name in (model, *others)]


def _chosen(offers: Sequence[KnownModel]) -> KnownModel | None:
    """Name the models, with size, source and licence, and ask which to fetch; None for none."""
    if not offers:
        return None
    show.say(f"{offers[0].name} is not on this machine.")
    for number, known in enumerate(offers, start=1):
        show.say(f"  {number}  {known.name}: {known.purpose}")
        show.say(f"     size     about {show.size_text(known.size_bytes)}")
        show.say(f"     source   {known.source}")
        show.say(f"     licence  {known.licence}")
    answers = {str(number): known for number, known in enumerate(offers, start=1)}
    if len(offers) == 1:
        answers |= {"y": offers[0], "yes": offers[0]}
        return answers.get(_answer("Fetch it now? [y/N]"))
    return answers.get(_answer(f"Fetch which one? [{'/'.join(answers)}/N]"))


def _fetched(known: KnownModel) -> bool:
    """Fetch and install a model; what else it takes to search with one that is not the default is said."""
    from vidsearch.models.registry import PACKAGED_MODEL

    def planned(report: Report) -> FetchPlan:
        from vidsearch.fetching.fetch import plan_published

        return plan_published(known.name, dirs.models_dir(), report=report)

    done = _pull(planned, known.name, _Wishes(yes=True))
    if done and known.name == PACKAGED_MODEL:
        show.say(f"Search with it: vidsearch query WORDS --model {known.name}, or set VIDSEARCH_MODEL={known.name}.")
    return done


def _understood(name: str, source: str | None) -> tuple[str | None, Path | str | None]:
    """(model or None where its files must tell, folder or repository or None for the authors' places)."""
    from vidsearch.models.registry import KNOWN_MODELS, known_model

    if source is not None:
        return known_model(name).name, _place(source)
    if name in KNOWN_MODELS or ("/" not in name and not Path(name).is_dir()):
        return known_model(name).name, None
    return None, _place(name)


def _place(text: str) -> Path | str:
    """A folder, or a repository's name; wrong usage where it is neither."""
    path = options.absolute(options.given_path(text))
    if path.exists():
        return path
    if _REPOSITORY.fullmatch(text) and not text.startswith("."):
        return text
    raise VidsearchError(f"{text} is neither a folder here nor a repository's name (ORG/NAME); check its spelling")


def _install_local(model: str | None, folder: Path, models_dir: Path, wishes: _Wishes) -> None:
    from vidsearch.fetching.repository import model_of_folder

    if model is None and folder.is_dir():
        model = model_of_folder(folder)
    if model is None:
        raise VidsearchError(
            f"{folder} does not tell which model it holds; name it: vidsearch models pull NAME --from {folder}"
        )
    from vidsearch.models.conversion.install import install

    show.say(f"Reading {folder} ...")
    _say_installed(install(model, folder, models_dir, dtype=wishes.precision))


def _pull(planned: Planner, name: str, wishes: _Wishes) -> bool:
    """Plan, show, ask, fetch, install. False where the answer was no."""
    from vidsearch.fetching.fetch import model_lock
    from vidsearch.fetching.web import require_network
    from vidsearch.models.registry import require_storable

    require("installing a model", "torch")
    require_network(name)
    if not (wishes.yes or _terminal()):
        raise VidsearchError(f"without a terminal nobody can be asked; add --yes to fetch {name}")
    models_dir = dirs.models_dir()
    with FetchReport() as report:
        plan = planned(report.add)
        require_storable(plan.model, wishes.precision)
        with model_lock(plan.model, models_dir, report.add):
            if not wishes.force and _is_here(plan.model, models_dir):  # since another process was faster
                return True
            _say_plan(plan)
            if not (wishes.yes or _agreed(f"Fetch {show.size_text(plan.size_bytes)} into {models_dir}?")):
                return False
            _fetch_and_install(plan, report, wishes)
    return True


def _fetch_and_install(plan: FetchPlan, report: FetchReport, wishes: _Wishes) -> None:
    from vidsearch.fetching.fetch import fetch, finish

    try:
        fetched = fetch(
            plan,
            report=report.add,
            accept_changed=wishes.accept_changed,
            force=wishes.force,
            narrow=wishes.precision != "float32",
        )
    except KeyboardInterrupt:
        report.stop()
        show.say("Stopped. What arrived is kept; run the same command again to go on.")
        raise
    report.stop()
    _install_fetched(fetched, wishes.precision)
    finish(fetched)


def _install_fetched(fetched: Fetched, precision: Precision) -> None:
    from vidsearch.models.conversion.checkpoint import BadFileError
    from vidsearch.models.conversion.install import install

    plan = fetched.plan
    show.say(f"Installing {plan.model} ...")
    try:
        folder = install(plan.model, fetched.folder, plan.models_dir, dtype=precision, fetched=fetched.provenance())
    except BadFileError as error:
        error.path.unlink(missing_ok=True)  # it is in the folder of what was fetched
        raise ModelError(f"{error} (it was deleted; the other files are used by the next pull)") from error
    except ModelError as error:
        anew = "" if all(file.hash_published for file in fetched.files) else "; --force fetches anew what has no hash"
        raise ModelError(
            f"{error} (what was fetched is kept in {fetched.folder} and used by the next pull{anew})"
        ) from error
    _say_installed(folder)


def _is_here(model: str, models_dir: Path) -> bool:
    """Says so where the model is here and readable."""
    from vidsearch.models.folder import find_model

    try:
        folder = find_model(model, models_dir)
    except ModelError:  # missing or damaged: both are mended by fetching
        return False
    show.say(f"{model} is here already ({folder.path}); vidsearch models verify {model} checks it, --force fetches it.")
    return True


def _say_plan(plan: FetchPlan) -> None:
    from vidsearch.models.registry import known_model

    show.say(f"{plan.model}: {known_model(plan.model).purpose}")
    for file in plan.files:
        show.say(f"  file     {file.name}, {_size_of(file)}, from {file.source}, {_proof(file)}")
    show.say(f"  licence  {plan.licence}")


def _size_of(file: RemoteFile) -> str:
    return "size not known" if file.size_bytes is None else show.size_text(file.size_bytes)


def _proof(file: RemoteFile) -> str:
    if file.sha256 is None:
        return "no hash published" if file.sha1 is None else f"SHA-1 {file.sha1[:12]}…"
    return f"SHA-256 {file.sha256[:12]}…"


def _say_installed(folder: ModelFolder) -> None:
    from vidsearch.models.findings import kept_findings

    for finding in kept_findings(folder):
        verdict = {True: "ok", False: "WRONG", None: "measured"}[finding.ok]
        show.say(f"  {verdict}: {finding.what}: {finding.note}")
    show.say(f"Installed {folder.name} in {folder.path}.")


def _terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()  # None: closed by the shell, `<&-`


def _agreed(question: str) -> bool:
    return _answer(f"{question} [y/N]") in ("y", "yes")


def _answer(question: str) -> str:
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower()
