"""How often the answers are right: held-out clips, held-out ways of asking, beside chance and a blank video."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.mobilevideogpt.prompt import text_after_frames
from vidsearch.training.ask.clips import RenderedClip
from vidsearch.training.ask.conversation import Conversations
from vidsearch.training.ask.encode import encode
from vidsearch.training.ask.questions import KINDS, Question, QuestionGenerator
from vidsearch.training.ask.settings import Selection
from vidsearch.training.world.scene import sample_meaning

_CLIPS_AT_ONCE = 16
_LONGEST_ANSWER = 32  # tokens


@dataclass(slots=True)
class Tally:
    """Right answers and questions of each kind; and how often each answer is the right one."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, question: Question, answer: str) -> None:
        """Take in one answer."""
        self.asked[question.kind] += 1
        self.right[question.kind] += normalised(answer) == normalised(question.answer)
        self.answers.setdefault(question.kind, Counter())[question.answer] += 1

    def accuracy(self, kind: str | None = None) -> float:
        """Of one kind, or of all questions."""
        kinds = [kind] if kind else list(self.asked)
        return sum(self.right[k] for k in kinds) / max(1, sum(self.asked[k] for k in kinds))

    def chance(self, kind: str | None = None) -> float:
        """What always giving each kind's most frequent answer would reach."""
        kinds = [kind] if kind else list(self.asked)
        best = sum(max(self.answers[k].values()) for k in kinds)
        return best / max(1, sum(self.asked[k] for k in kinds))


def normalised(answer: str) -> str:
    """Lower case, without signs (but an apostrophe) and doubled spaces."""
    signs = string.punctuation.replace("'", "").replace("-", "")
    return " ".join(answer.lower().translate(str.maketrans("", "", signs)).split())


@torch.no_grad()
def measure(
    network: MobileVideoGPT,
    conversations: Conversations,
    *,
    clips: int = 250,
    questions: int = 8,
    seed: int = 2026,
    selection: Selection = "scored",
    blank: bool = False,
    device: str = "cpu",
) -> Tally:
    """Ask `questions` about each of `clips` held-out clips; `blank`: show grey pictures instead of them."""
    tally = Tally()
    for first in range(0, clips, _CLIPS_AT_ONCE):
        drawn = [_drawn(seed, clip, questions, network) for clip in range(first, min(clips, first + _CLIPS_AT_ONCE))]
        visual = visual_tokens(network, [clip for clip, _ in drawn], selection, device, blank=blank)
        for tokens, (_, asked) in zip(visual, drawn, strict=True):
            for question, answer in zip(asked, answers(network, conversations, tokens, asked), strict=True):
                tally.count(question, answer)
    return tally


def _drawn(seed: int, clip: int, questions: int, network: MobileVideoGPT) -> tuple[RenderedClip, list[Question]]:
    """A clip that gives occasion for the kind whose turn it is, so that rare kinds are asked about as well."""
    rng = np.random.default_rng((seed, clip))
    generator = QuestionGenerator(rng, held_out=True)
    wanted = KINDS[clip % len(KINDS)]
    first = None
    while first is None:
        meaning = sample_meaning(rng, held_out=True)
        first = generator.one(meaning, wanted)
    others = tuple(kind for kind in KINDS if kind != wanted)
    return RenderedClip(meaning, rng, network.config), [first, *generator.several(meaning, questions - 1, others)]


def visual_tokens(
    network: MobileVideoGPT, rendered: list[RenderedClip], selection: Selection, device: str, *, blank: bool = False
) -> Tensor:
    """(B, V, d), as the language model takes them."""
    features, _, tokens = encode(network, rendered, selection, device, blank=blank)
    return network.visual_tokens(features, tokens)


def answers(
    network: MobileVideoGPT, conversations: Conversations, visual: Tensor, questions: list[Question]
) -> list[str]:
    """Greedy answers to questions about one clip, visual (V, d), whose prefix is run once."""
    tokenizer = conversations.tokenizer
    before = torch.tensor([conversations.before], device=visual.device)
    cache = network.new_cache()
    table = network.model.embed_tokens
    network(inputs_embeds=torch.cat((table(before), visual.unsqueeze(0)), dim=1), cache=cache, last_only=True)
    prefix = cache.length
    said = []
    for question in questions:
        cache.crop(prefix)
        ids = torch.tensor([tokenizer.encode(text_after_frames(question.text)).ids], device=visual.device)
        tokens = network.generate(ids, cache=cache, max_new_tokens=_LONGEST_ANSWER, stop_ids=conversations.stop)
        said.append(tokenizer.decode(list(tokens)))
    return said


def table(columns: dict[str, Tally]) -> str:
    """Markdown: a row a kind, a column for each tally (its heading → the tally), and chance."""
    first = next(iter(columns.values()))
    lines = ["| kind | questions | chance | " + " | ".join(columns) + " |", "|---|---:|---:|" + "---:|" * len(columns)]
    for kind in (*KINDS, None):
        shares = " | ".join(f"{tally.accuracy(kind):.3f}" for tally in columns.values())
        number = first.asked[kind] if kind else first.asked.total()
        lines.append(f"| {kind or 'all'} | {number} | {first.chance(kind):.3f} | {shares} |")
    return "\n".join(lines)
