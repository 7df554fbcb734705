"""Questions and answers → rows of token ids and which of them are learned; many questions share one clip's prefix.

Which tokens are targets: the released training programs of Mobile-VideoGPT: the assistant's turn with its header and
the line break after its end, and every mark of the chat wherever it stands.

Axes: B clips, Q questions of each, L tokens of a question with its answer, P positions of the prefix, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from vidsearch.models.mobilevideogpt.prompt import BEFORE_FRAMES, text_after_frames
from vidsearch.models.qwen2.decoder import CausalLanguageModel
from vidsearch.training.ask.probes import IGNORE_INDEX, TruthProbe
from vidsearch.training.ask.questions import Question
from vidsearch.training.ask.vocabulary import END, START


@dataclass(frozen=True, slots=True)
class Rows:
    """ids (B·Q, L) int64, padded at the end, and labels (B·Q, L): the id of each position, or IGNORE_INDEX.

    mentions (B·Q, L) float32: 1 where a word of the question holds of the clip, 0 where it does not, else IGNORE_INDEX.
    """

    ids: Tensor
    labels: Tensor
    mentions: Tensor

    def to(self, device: str) -> Rows:
        """The same on another device."""
        return Rows(self.ids.to(device), self.labels.to(device), self.mentions.to(device))


class PrefixCache:
    """The keys and values of B prefixes, seen by Q rows each. Read by the decoder as its cache; gradients flow."""

    def __init__(self, questions: int) -> None:
        self.questions = questions
        self.length = 0
        self._prefix: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The prefix's own (B, H, P, h) the first time; afterwards (B·Q, H, P + L, h) for (B·Q, H, L, h)."""
        if layer not in self._prefix:
            self._prefix[layer] = (keys, values)
            return keys, values
        first_keys, first_values = (side.repeat_interleave(self.questions, dim=0) for side in self._prefix[layer])
        return torch.cat((first_keys, keys), dim=2), torch.cat((first_values, values), dim=2)

    def advance(self, positions: int) -> None:
        """The prefix is counted, the rows behind it are not: they all start where it ends."""
        if not self.length:
            self.length = positions


class Conversations:
    """Turns questions into rows with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.before: list[int] = tokenizer.encode(BEFORE_FRAMES).ids
        self.marks = frozenset(tokenizer.encode(START + END).ids)
        self.stop = tuple(tokenizer.encode(END).ids)

    def rows(self, questions: Sequence[Question]) -> Rows:
        """The text after the frames with its answer, of each question."""
        pairs = [self._row(question) for question in questions]
        longest = max(len(ids) for ids, _ in pairs)
        ids = torch.zeros(len(pairs), longest, dtype=torch.int64)
        labels = torch.full((len(pairs), longest), IGNORE_INDEX)
        mentions = torch.full((len(pairs), longest), float(IGNORE_INDEX))
        for row, (question, (tokens, asked)) in enumerate(zip(questions, pairs, strict=True)):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            own = [token if n >= asked or token in self.marks else IGNORE_INDEX for n, token in enumerate(tokens)]
            labels[row, : len(tokens)] = torch.tensor(own)
            holds = {self.tokenizer.token_to_id(word): float(true) for word, true in question.mentions}
            mentions[row, :asked] = torch.tensor([holds.get(token, float(IGNORE_INDEX)) for token in tokens[:asked]])
        return Rows(ids, labels, mentions)

    def _row(self, question: Question) -> tuple[list[int], int]:
        """All ids, and the number of those that come before the assistant's header."""
        after = text_after_frames(question.text)
        turn = after.index("<|im_start|>")
        asked = self.tokenizer.encode(after[:turn]).ids
        answered = self.tokenizer.encode(f"{after[turn:]}{question.answer}{END}\n").ids
        return [*asked, *answered], len(asked)


def answer_loss(
    network: CausalLanguageModel,
    conversations: Conversations,
    visual: Tensor,
    rows: Rows,
    questions: int,
    probe: TruthProbe | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the targets of all rows, and the loss of `probe` or 0. visual (B, V, d); B·questions rows.

    The prefix, marks of the chat and visual tokens, is run once for each clip. Its own two targets say nothing of the
    clip and are the same in every row; they are left to the language model's own training.
    """
    table = network.model.embed_tokens
    before = table(torch.tensor(conversations.before, device=visual.device)).expand(len(visual), -1, -1)
    cache = PrefixCache(questions)
    network.model(torch.cat((before, visual.to(before.dtype)), dim=1), cache)
    with TruthProbe.listening(network) as heard:
        hidden = network.model(table(rows.ids), cache)
    places = rows.labels[:, 1:] != IGNORE_INDEX
    logits = F.linear(hidden[:, :-1][places], table.weight)
    loss = F.cross_entropy(logits.float(), rows.labels[:, 1:][places])
    return loss, probe.loss(heard[0], rows.mentions) if probe else loss.new_zeros(())
