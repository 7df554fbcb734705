"""`vidsearch models profile`: where the time of a clip goes, by part of the network and by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch import dirs, json_forms
from vidsearch.cli import options, show

if TYPE_CHECKING:
    from vidsearch.models.conversion.mobile.profile import Profile

_BAR = 40  # signs of the longest bar


def profile(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name; see vidsearch models list.")],
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="onnx|torch", help="ONNX Runtime on one thread, or torch.")
    ] = "onnx",
    device: options.Device = "auto",
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=1000, help="Each operator counts with its least time.")
    ] = 10,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="depth", help="Networks of 1 to 8 blocks a stage, with random weights."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Time the clip tower on one clip: milliseconds and share of each part and of each kind of operator, with bars.

    With --sweep depth, the size of NAME is built with more and more blocks and random weights: what mixing by
    convolution and mixing by attention cost then.

    Example: vidsearch models profile mobileviclip-nano --runtime onnx
    """
    if runtime not in ("onnx", "torch"):
        raise typer.BadParameter(f"{runtime!r} is none of onnx, torch")
    if sweep not in (None, "depth"):
        raise typer.BadParameter(f"{sweep!r} cannot be swept; only depth can")
    if runtime == "onnx" and device not in ("auto", "cpu"):
        raise typer.BadParameter(f"--runtime onnx runs on the CPU, not on {device}")
    if sweep is not None:
        _sweep(name, runtime, runs, as_json=as_json)
        return
    from vidsearch.extras import needing
    from vidsearch.models.folder import find_model

    with needing("profiling a model"):
        from vidsearch.models.conversion.mobile.profile import profile_network
        from vidsearch.models.conversion.mobile.tower import open_tower
    network = open_tower(find_model(name, dirs.models_dir(), "embedding"), "clip").network
    found = profile_network(network, runtime, device, runs)
    if as_json:
        show.write_json(_as_dict(found))
        return
    show.say(
        f"{found.model}, {found.runtime} on {found.device}: {found.sum_ms:.1f} ms a clip, each operator at its best of "
        f"{found.runs} runs; the best run as a whole {found.best_run_ms:.1f} ms."
    )
    for heading, parts in (("part", found.by_module()), ("operator", found.by_operator())):
        show.table_or_lines((heading, "ms", "share", ""), _rows(parts), right={"ms": True, "share": True})


def _sweep(name: str, runtime: str, runs: int, *, as_json: bool) -> None:
    from vidsearch.extras import needing

    with needing("profiling a model"):
        from vidsearch.models.conversion.mobile.profile import sweep_of
    rows = sweep_of(name, runtime, runs)
    if as_json:
        fields = [{"blocks": blocks, "convolution_ms": conv, "attention_ms": att} for blocks, conv, att in rows]
        show.write_json({"version": json_forms.VERSION, "model": name, "runtime": runtime, "sweep": fields})
        return
    most = max(max(conv, att) for _, conv, att in rows)
    lines = [
        (str(blocks), what, f"{ms:.2f}", _bar(ms / most))
        for blocks, conv, att in rows
        for what, ms in (("convolution", conv), ("attention", att))
    ]
    show.table_or_lines(("blocks a stage", "mixing by", "ms", ""), lines, right={"ms": True})


def _rows(parts: dict[str, float]) -> list[tuple[str, str, str, str]]:
    total, most = sum(parts.values()) or 1.0, max(parts.values(), default=1.0)
    return [(name, f"{ms:.2f}", f"{ms / total:.1%}", _bar(ms / most)) for name, ms in parts.items()]


def _bar(share: float) -> str:
    return "█" * max(1, round(_BAR * share))


def _as_dict(found: Profile) -> dict[str, Any]:
    """The stable JSON form; documented in docs/json.md."""
    return {
        "version": json_forms.VERSION,
        "model": found.model,
        "runtime": found.runtime,
        "device": found.device,
        "runs": found.runs,
        "sum_ms": found.sum_ms,
        "best_run_ms": found.best_run_ms,
        "modules": found.by_module(),
        "operators": found.by_operator(),
        "nodes": [{"path": each.path, "operator": each.operator, "ms": each.ms} for each in found.operators],
    }
