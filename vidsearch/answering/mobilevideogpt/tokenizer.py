"""Text ↔ token ids of a model folder's tokenizer, and the prompt as that tokenizer cuts it.

Source: the released program's chat template (Qwen2), `mobilevideogpt/prompt.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from tokenizers import Tokenizer

from vidsearch.errors import ModelError
from vidsearch.models.folder import ModelFolder
from vidsearch.models.json_files import read_object
from vidsearch.models.mobilevideogpt.prompt import AFTER_QUESTION, BEFORE_FRAMES, STOP_IDS, text_after_frames
from vidsearch.models.schema import Within, read_value

_UNFINISHED = "\ufffd"  # what a decoder shows for the first bytes of a character whose others are still to come
_StopIds = Annotated[tuple[Annotated[int, Within(0, 1 << 20)], ...], Within(1, 1000)]
_Penalty = Annotated[float, Within(1e-3, 1e3)]


@dataclass(frozen=True, slots=True)
class GenerationRules:
    """What `generation_config.json` says about ending an answer and about repeating oneself."""

    stop_ids: frozenset[int]
    repetition_penalty: float = 1.0


class ChatTokenizer:
    """The tokenizer of one model."""

    def __init__(self, folder: ModelFolder) -> None:
        """Raises ModelError if the tokenizer's file cannot be read."""
        try:
            self._tokenizer = Tokenizer.from_file(str(folder.tokenizer))
        except Exception as error:  # the library raises nothing narrower; whatever it is, the file is at fault
            raise ModelError(f"the tokenizer {folder.tokenizer} cannot be read ({error}); install it again") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of the prompt, its special tokens recognised."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def before_frames(self) -> list[int]:
        """The prompt up to the frames: the same for every clip and question."""
        return self.encode(BEFORE_FRAMES)

    def after_frames(self, question: str) -> list[int]:
        """The prompt from the frames on; tokenised in one piece."""
        return self.encode(text_after_frames(question))

    def next_turn(self, question: str) -> list[int]:
        """What goes between an answer and the answer to the next question of a conversation."""
        return self.encode(f"<|im_end|>\n<|im_start|>user\n{question}{AFTER_QUESTION}")

    def unknown(self, question: str) -> list[str]:
        """The words of a question that a vocabulary of whole words lacks, in their order; [] if it has them all."""
        row = self._tokenizer.token_to_id("<unk>")
        if row is None:
            return []
        found = self._tokenizer.encode(question, add_special_tokens=False)
        words = [question[a:b] for token, (a, b) in zip(found.ids, found.offsets, strict=True) if token == row]
        return list(dict.fromkeys(words))

    def pieces(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of an answer as its tokens come; joined, it is the whole answer without blanks around it.

        A piece may wait for the tokens after it: for the other bytes of a character, and blanks for what follows them.
        """
        given: list[int] = []
        sent = 0
        for token in ids:
            given.append(token)
            text = self._decode(given)
            if not text.endswith(_UNFINISHED) and len(text) > sent:
                yield text[sent:]
                sent = len(text)
        if rest := self._decode(given)[sent:]:
            yield rest

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True).strip()


def generation_rules(folder: ModelFolder) -> GenerationRules:
    """The rules of a model folder; Qwen's ids if the file names none. ModelError if it cannot be read."""
    advice = f"install {folder.name} again"
    values = read_object(folder.generation, advice)
    stop = values.get("eos_token_id", STOP_IDS)
    try:
        ids = read_value(_StopIds, stop if isinstance(stop, list | tuple) else [stop], "eos_token_id")
        penalty = read_value(_Penalty, values.get("repetition_penalty", 1.0), "repetition_penalty")
    except ModelError as error:
        raise ModelError(f"{folder.generation}: {error}; {advice}") from error
    return GenerationRules(frozenset(ids), penalty)
