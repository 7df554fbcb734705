"""How the hits of a query look: a table or lines, JSON, or names alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from vidsearch import json_forms
from vidsearch.cli import show
from vidsearch.cli.late import typer
from vidsearch.cli.line_format import line_of
from vidsearch.frozen import dataclass
from vidsearch.timecode import TimeFormat, time_text
from vidsearch.workflows.moments import by_video
from vidsearch.workflows.relevance import match_level

if TYPE_CHECKING:
    from vidsearch.cli.finding import Found
    from vidsearch.cli.hit_asker import HitAsker
    from vidsearch.cli.pictures import TerminalPictures
    from vidsearch.records import Hit

HitsFormat = Literal["table", "json", "jsonl", "names", "names0", "lines"]  # names0: each ended by a NUL byte

HEADERS = ("#", "score", "match", "start", "end", "file")
GROUP_HEADERS = ("#", "score", "match", "moments", "file")


def chosen_form(as_json: bool, as_jsonl: bool, files_only: bool, null: bool, pattern: str | None = None) -> HitsFormat:
    """How the options say that hits are printed. BadParameter for two ways at once."""
    if as_json + as_jsonl + (files_only or null) + (pattern is not None) > 1:
        raise typer.BadParameter("choose one of --json, --jsonl, --format and -f/-0")
    chosen: dict[HitsFormat, bool] = {
        "json": as_json,
        "jsonl": as_jsonl,
        "lines": pattern is not None,
        "names0": null,
        "names": files_only,
    }
    return next((form for form, wanted in chosen.items() if wanted), "table")


@dataclass(frozen=True, slots=True)
class HitsShown:
    """The answer to a query and how it is printed; `asker` answers questions about the best hits."""

    found: Found
    time_format: TimeFormat
    asker: HitAsker | None = None
    pattern: str | None = None  # of the form "lines"
    pictures: TerminalPictures | None = None  # drawn beside the hits of a table

    @property
    def hits(self) -> Sequence[Hit]:
        return self.found.hits

    def write(self, form: HitsFormat) -> None:
        """To stdout, each answer as it comes."""
        match form:
            case "json":
                show.write_json(self.as_dict())
            case "lines":
                for hit in self.hits:
                    show.write(line_of(self.pattern or "", hit, self._level(hit), self.time_format))
            case "jsonl":
                for line in self._forms():
                    show.write_json(line)
            case "table" if self._grouped:
                rows = [self._group_row(mine) for mine in by_video(self.hits)]
                show.table_or_lines(GROUP_HEADERS, rows, right={"#": True})
            case "names" | "names0":
                end = "\0" if form == "names0" else "\n"
                show.write("".join(f"{path}{end}" for path in dict.fromkeys(hit.path for hit in self.hits)))
            case "table":
                self._write_table()

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the whole answer."""
        head = {"version": json_forms.VERSION} | json_forms.query(self.found.query, self.found.model)
        videos = {"videos": json_forms.video_groups(self.hits)} if self._grouped else {}
        return head | {"hits": list(self._forms()), "left_out": self.found.left_out} | videos

    def _forms(self) -> Iterator[dict[str, Any]]:
        for hit in self.hits:
            yield json_forms.hit(hit, self.found.levels) | (self.asker.as_dict(hit) if self.asker else {})

    def _write_table(self) -> None:
        """A table, on a terminal under a header; in a pipe a line for each hit. Answers follow their hit."""
        if self.pictures is not None:
            self._write_pictures(self.pictures)
            return
        right = dict.fromkeys(("#", "start", "end"), True)
        if self.asker is None:
            show.table_or_lines(HEADERS, [self._row(hit) for hit in self.hits], right=right)
            return
        for hit in self.hits:
            first = hit is self.hits[0]
            show.table_or_lines(HEADERS if first else ("",) * len(HEADERS), [self._row(hit)], right=right)
            self.asker.show(hit)

    @property
    def _grouped(self) -> bool:
        return self.found.query.group == "video"

    def _group_row(self, hits: Sequence[Hit]) -> tuple[str, ...]:
        """A video with its moments, each with its number."""
        best = max(hits, key=lambda hit: hit.score)
        times = (
            f"{hit.number}: {time_text(hit.start_s, self.time_format)}-{time_text(hit.end_s, self.time_format)}"
            for hit in hits
        )
        return str(best.number), f"{best.score:.3f}", self._level(best), ", ".join(times), self._file(best)

    def _write_pictures(self, pictures: TerminalPictures) -> None:
        """A picture of each hit with its facts beside it; answers follow their hit."""
        for hit in self.hits:
            number, score, match, start, end, file = self._row(hit)
            show.write_escapes(pictures.beside(hit, [f"{number}  {score}  {match}", f"{start} - {end}", file]))
            if self.asker is not None:
                self.asker.show(hit)

    def _row(self, hit: Hit) -> tuple[str, ...]:
        return (
            str(hit.number),
            f"{hit.score:.3f}",
            self._level(hit),
            time_text(hit.start_s, self.time_format),
            time_text(hit.end_s, self.time_format),
            self._file(hit),
        )

    def _level(self, hit: Hit) -> str:
        return match_level(hit.level_score, self.found.levels) or "-"

    def _file(self, hit: Hit) -> str:
        """The name; on a terminal with what is to be said of it."""
        if not sys.stdout.isatty():
            return show.place(hit.path)
        more = f" (and {hit.more} more alike)" if hit.more else ""
        return f"{show.place(hit.path)}{more}{' (offline)' if hit.offline else ''}"
