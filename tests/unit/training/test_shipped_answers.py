"""What the bundled mobilevideogpt-nano answers, to fewer held-out questions than its model card tells of.

The floors lie a little below the figures of the card, as fewer questions need.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.clips import RenderedClip
from vidsearch.training.ask.conversation import Conversations
from vidsearch.training.ask.evaluate import Tally, answers, measure, visual_tokens
from vidsearch.training.ask.questions import QuestionGenerator
from vidsearch.training.ask.vocabulary import build_tokenizer
from vidsearch.training.world.scene import TURNS, sample_meaning

pytestmark = pytest.mark.slow

FOLDER = BUNDLED_DIR / "mobilevideogpt-nano"
SEED = 4711  # not the seed of the model card


@pytest.fixture(scope="module")
def network() -> MobileVideoGPT:
    return load_language_model(open_folder(FOLDER), dtype=torch.float32)


@pytest.fixture(scope="module")
def conversations() -> Conversations:
    return Conversations(build_tokenizer())


@pytest.fixture(scope="module")
def tally(network: MobileVideoGPT, conversations: Conversations) -> Tally:
    return measure(network, conversations, clips=96, seed=SEED)


def test_held_out_questions_about_held_out_clips_are_answered(tally: Tally) -> None:
    assert tally.asked.total() == 96 * 8
    assert tally.accuracy() >= 0.97


@pytest.mark.parametrize("kind", ["what", "colour", "count", "background", "does it", "is there", "can't tell"])
def test_what_is_there_is_answered(kind: str, tally: Tally) -> None:
    assert tally.asked[kind] >= 40
    assert tally.accuracy(kind) >= 0.95


@pytest.mark.parametrize(("kind", "floor"), [("doing", 0.9), ("describe", 0.88)])
def test_what_happens_is_answered(kind: str, floor: float, tally: Tally) -> None:
    assert tally.asked[kind] >= 40
    assert tally.accuracy(kind) >= floor


def test_the_sense_of_a_turn_is_told(network: MobileVideoGPT, conversations: Conversations) -> None:
    rng = np.random.default_rng(SEED)
    generator = QuestionGenerator(rng, held_out=True)
    meanings = [sample_meaning(rng, held_out=True, motion=(TURNS[number % 2], None)) for number in range(40)]
    questions = [question for meaning in meanings if (question := generator.one(meaning, "spin"))]
    assert {question.answer for question in questions} == {"clockwise", "counter-clockwise"}
    visual = visual_tokens(
        network, [RenderedClip(meaning, rng, network.config) for meaning in meanings], "scored", "cpu"
    )
    said = [
        answers(network, conversations, tokens, [question])[0]
        for tokens, question in zip(visual, questions, strict=True)
    ]
    right = [given == question.answer for given, question in zip(said, questions, strict=True)]
    assert len(right) == 40 and sum(right) >= 36


def test_without_the_clip_the_answers_are_hardly_better_than_guessed(
    network: MobileVideoGPT, conversations: Conversations, tally: Tally
) -> None:
    blind = measure(network, conversations, clips=32, seed=SEED, blank=True)
    assert blind.accuracy() <= tally.accuracy() - 0.4


def test_the_tokenizer_that_ships_is_the_one_it_was_trained_with() -> None:
    assert open_folder(FOLDER).tokenizer.read_text() == build_tokenizer().to_str(pretty=True)
