"""The JSON form of results, the same on every surface: docs/json.md documents each field.

Fields are added, never renamed or removed within one VERSION. Times are seconds, rounded to milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch.errors import VidsearchError
from vidsearch.query_text.writing import format_query
from vidsearch.records import Hit
from vidsearch.timecode import FARTHEST_S
from vidsearch.workflows.moments import by_video
from vidsearch.workflows.relevance import match_level

if TYPE_CHECKING:
    from vidsearch.answering.interface import EncodedClip
    from vidsearch.records import Query, VideoRow
    from vidsearch.store.interface import LibraryInfo, ModelInfo, RuntimeInfo
    from vidsearch.workflows.ask import AskOutcome
    from vidsearch.workflows.duplicates import SameFile
    from vidsearch.workflows.index import RootPlanned, VideoFailed, VideoIndexed
    from vidsearch.workflows.relevance import Levels

VERSION = 1


def name_text(path: Path) -> str:
    """A path as text, the same in every locale: a lone surrogate for each byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def query(asked: Query, model: str) -> dict[str, Any]:
    """What was asked: `query` for people, `written` in the form that `vidsearch query` takes."""
    return {"query": asked.text, "written": format_query(asked), "model": model}


def hit(found: Hit, levels: Levels) -> dict[str, Any]:
    """A moment that a query found; `levels` are those of the hit's model."""
    return {
        "number": found.number,
        "path": name_text(found.path),
        "start_s": round(found.start_s, 3),
        "end_s": round(found.end_s, 3),
        "best_s": round(found.best_s, 3),
        "score": round(found.score, 4),
        "level": match_level(found.level_score, levels),
        "model": found.model,
        "offline": found.offline,
        "date": None if found.date_s is None else datetime.fromtimestamp(found.date_s, UTC).isoformat(),
        "date_from": "container" if found.date_recorded else "file",
        "more": found.more,
    }


def video_groups(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The videos of hits, each with the numbers of its hits."""
    return [{"path": name_text(mine[0].path), "hits": [hit.number for hit in mine]} for mine in by_video(hits)]


def duplicates(groups: Sequence[Sequence[SameFile]]) -> list[dict[str, Any]]:
    """Groups of files that show the same."""
    return [
        {
            "files": [
                {
                    "path": name_text(file.entry.path),
                    "size_bytes": file.entry.size_bytes,
                    "duration_s": None if file.entry.duration_s is None else round(file.entry.duration_s, 3),
                    "width_px": file.entry.width_px,
                    "height_px": file.entry.height_px,
                    "same_bytes": file.same_bytes,
                    "share": round(file.share, 3),
                }
                for file in group
            ]
        }
        for group in groups
    ]


def read_hits(text: str) -> list[Hit]:
    """The hits of JSON lines as `query --jsonl` prints them, or of the object of `query --json`; the inverse of `hit`.

    A moment needs `path`, `start_s` and `end_s`; the rest has defaults. Raises VidsearchError that names the line.
    """
    hits: list[Hit] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            form = json.loads(line)
            hits += [_read_hit(it, len(hits) + place) for place, it in enumerate(form.get("hits", [form]), start=1)]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise VidsearchError(
                f"Line {number} of the hits is none that vidsearch query --jsonl prints ({_why(error)})."
            ) from error
    return hits


def _read_hit(form: dict[str, Any], number: int) -> Hit:
    start_s, end_s = float(form["start_s"]), float(form["end_s"])
    if not start_s < end_s:
        raise ValueError("start_s is to be less than end_s")
    if not -FARTHEST_S <= start_s < end_s <= FARTHEST_S:
        raise ValueError("no video is so long")
    middle_s = (start_s + end_s) / 2
    best_s = float(form.get("best_s", middle_s))
    given = os.fsdecode(form["path"].encode("utf-8", "surrogateescape"))
    if not given or "\0" in given:
        raise ValueError("path names no file")
    return Hit(
        number=int(form.get("number", number)),
        path=Path(given).absolute(),
        start_s=start_s,
        end_s=end_s,
        best_s=best_s if start_s <= best_s <= end_s else middle_s,
        score=float(form.get("score", 0.0)),
        model=str(form.get("model", "")),
    )


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    if isinstance(error, (json.JSONDecodeError, AttributeError, RecursionError)):
        return "it is no JSON object"
    return str(error)


def video(row: VideoRow) -> dict[str, Any]:
    """A line of `vidsearch videos`."""
    return {
        "path": name_text(row.path),
        "state": row.state,
        "error": row.error,
        "error_kind": row.error_kind,
        "duration_s": None if row.duration_s is None else round(row.duration_s, 3),
        "windows": row.windows,
        "reader": row.reader,
        "model": row.model,
    }


def library(facts: LibraryInfo, default_model: str) -> dict[str, Any]:
    """What a library holds."""
    return {
        "folder": name_text(facts.folder),
        "schema": facts.schema,
        "default_model": default_model,
        "roots": [{"path": name_text(root.path), "offline": root.offline} for root in facts.roots],
        "models": [_model(model) for model in facts.models],
        "videos": {"indexed": facts.indexed, "failed": facts.failed, "offline": facts.offline},
        "duration_s": round(facts.duration_s, 3),
        "database_bytes": facts.database_bytes,
        "index_bytes": facts.index_bytes,
    }


def _model(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.name,
        "videos": model.videos,
        "windows": model.windows,
        "still_windows": model.still_windows,
        "dim": model.dim,
        "window_specs": [
            {"window_s": spec.length_s, "stride_s": spec.stride_s, "windows": spec.kind} for spec in model.window_specs
        ],
        "runtimes": [_runtime(item) for item in model.runtimes],
    }


def _runtime(info: RuntimeInfo) -> dict[str, Any]:
    """Both names are None for what an older vidsearch indexed."""
    runtime = info.runtime
    return {
        "runtime": None if runtime is None else runtime.name,
        "precision": None if runtime is None else runtime.precision,
        "videos": info.videos,
    }


def index_run(
    planned: Sequence[RootPlanned],
    indexed: Sequence[VideoIndexed],
    failed: Sequence[VideoFailed],
    damaged_elsewhere: Sequence[Path] = (),
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """What a run of `vidsearch index` did, or would do."""
    plans = [item.plan for item in planned]
    return {
        "dry_run": dry_run,
        "to_index": [name_text(file.path) for plan in plans for file in plan.to_index],
        "indexed": [
            {
                "path": name_text(item.file.path),
                "windows": item.windows,
                "still_windows": item.still_windows,
                "damage": item.facts.damage,
            }
            for item in indexed
        ],
        "failed": [{"path": name_text(item.path), "kind": item.kind, "error": item.message} for item in failed],
        "unchanged": sum(len(plan.unchanged) + len(plan.refingerprinted) for plan in plans),
        "failed_before": sum(len(plan.failed_before) for plan in plans),
        "moved": sum(len(plan.moved) for plan in plans),
        "copied": sum(len(plan.copied) for plan in plans),
        "gone": sum(len(plan.gone) for plan in plans),
        "excluded": sum(len(plan.excluded) for plan in plans),
        "recut": sum(len(plan.recut) for plan in plans),
        "embedded_again": sum(plan.embedded_again for plan in plans),
        "offline": [name_text(item.root) for item in planned if item.plan.offline],
        "damaged_elsewhere": [name_text(path) for path in damaged_elsewhere],
    }


def answers(outcomes: Iterable[AskOutcome]) -> dict[str, Any]:
    """What was looked at, and the answers; runs through `outcomes`, and so asks."""
    from vidsearch.workflows.ask import Answered, ClipEncoded, QuestionPut

    encoded: dict[str, Any] = {}
    answered: list[dict[str, Any]] = []
    for outcome in outcomes:
        match outcome:
            case ClipEncoded(clip, device):
                encoded = {**encoded_clip(clip), "device": device}
            case QuestionPut(question, unknown):
                answered.append({"question": question, "unknown_words": list(unknown)})
            case Answered(_, text, tokens, reason):
                cut = reason in ("length", "context")
                answered[-1] |= {"answer": text, "tokens": tokens, "cut_short": cut, "finish_reason": reason}
    return {**encoded, "answers": answered}


def encoded_clip(clip: EncodedClip) -> dict[str, Any]:
    """What was looked at."""
    fields = asdict(clip) | {"path": name_text(clip.path)}
    for name in ("start_s", "end_s"):
        fields[name] = round(fields[name], 3)
    fields["frames_s"] = [round(time, 3) for time in fields.pop("times_s")]
    fields["keyframes_s"] = [round(time, 3) for time in clip.keyframes_s]
    fields["kept_s"] = fields["keyframes_s"]  # its name before
    return fields
