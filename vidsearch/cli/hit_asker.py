"""The questions of `vidsearch query --ask`, put to the best hits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vidsearch import dirs, json_forms
from vidsearch.cli import options, show
from vidsearch.cli.show_answers import show_answers
from vidsearch.errors import ModelError, VidsearchError

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer
    from vidsearch.records import Hit
    from vidsearch.workflows.ask import AskOutcome


class HitAsker:
    """Puts the same questions to the best `top` hits of a query. The model is opened with the first of them."""

    def __init__(self, questions: list[str], top: int, model: str) -> None:
        """Before any work is done: VidsearchError for a question that is none, ModelError for a model not here.

        MissingExtraError without torch.
        """
        from vidsearch.extras import require
        from vidsearch.models.folder import find_model
        from vidsearch.workflows.ask import check_question

        for question in questions:
            check_question(question)
        require("answering questions", "torch")
        find_model(model, dirs.models_dir(), "vqa")
        self.failed = False  # a hit could not be looked at
        self._questions, self._top, self._model = questions, top, model
        self._device = options.device_of_environment()
        self._answerer: Answerer | None = None

    def as_dict(self, hit: Hit) -> dict[str, Any]:
        """`asked` for one of the best hits, nothing for the others; documented in docs/json.md."""
        if hit.number > self._top:
            return {}
        outcomes = self._outcomes(hit)
        try:
            return {"asked": json_forms.answers(outcomes)}
        except ModelError:
            raise
        except VidsearchError as error:
            self.failed = True
            return {"asked": {"error": str(error)}}

    def show(self, hit: Hit) -> None:
        """The answers under one of the best hits; a file that cannot be read is a line on stderr."""
        if hit.number > self._top:
            return
        piped = not sys.stdout.isatty()
        outcomes = self._outcomes(hit)
        try:
            show_answers(
                outcomes,
                several=len(self._questions) > 1,
                lines=piped,
                indent="\t" if piped else "   ",
                longer=f"vidsearch ask {hit.number} with --max-new-tokens",
            )
        except ModelError:
            raise
        except VidsearchError as error:
            self.failed = True
            show.warn(f"vidsearch: {error}")

    def _outcomes(self, hit: Hit) -> Iterator[AskOutcome]:
        """What is to come about a hit. Raises what opening the model does; about the hit nothing is done yet."""
        from vidsearch.answering.answerer import open_answerer
        from vidsearch.answering.interface import Clip, GenerationOptions, TimeRange
        from vidsearch.cli.memory import keep_freed_memory
        from vidsearch.workflows.ask import ask_about

        keep_freed_memory()
        self._answerer = self._answerer or open_answerer(self._model, device=self._device)
        moment = Clip(hit.path, TimeRange(hit.start_s, hit.end_s))
        return ask_about(moment, self._questions, self._answerer, GenerationOptions())
