"""Scores of captions on worked examples, and the words that are compared."""

from __future__ import annotations

import pytest

from vidsearch.evaluation.caption_scores import caption_scores, has_java
from vidsearch.evaluation.caption_words import split_words

needs_java = pytest.mark.skipif(not has_java(), reason="Java is not installed")
REFERENCES = {
    "v1": [
        "A man is riding a horse.",
        "A man rides a brown horse on the beach.",
        "Someone is riding a horse near the sea.",
    ],
    "v2": ["A woman is slicing an onion.", "A woman cuts an onion in a kitchen.", "A person is chopping vegetables."],
    "v3": ["Two dogs are playing in the snow.", "Dogs run through the snow.", "Two brown dogs play outside in winter."],
}
SAID = {
    "v1": "a man is riding a horse on the beach",
    "v2": "a woman is cutting an onion",
    "v3": "a dog is running in the grass",
}
EXPECTED = {
    "bleu1": 72.7273,
    "bleu2": 67.7739,
    "bleu3": 58.5735,
    "bleu4": 49.8660,
    "rouge_l": 67.1409,
    "cider": 241.1633,
}


def test_the_worked_example_without_java() -> None:
    assert caption_scores(REFERENCES, SAID, java=False) == pytest.approx(EXPECTED, abs=1e-4)


@pytest.mark.slow  # METEOR reads its tables of paraphrases for ten seconds
@needs_java
def test_the_worked_example_with_java() -> None:
    found = caption_scores(REFERENCES, SAID)
    assert found == pytest.approx({**EXPECTED, "meteor": 44.4756}, abs=1e-4)
    without_words = caption_scores(REFERENCES, {**SAID, "v3": " \n"})
    assert without_words["meteor"] < found["meteor"] and without_words["bleu1"] > 0


def test_an_exact_and_a_short_caption() -> None:
    references = {"a": ["a cat sat on the mat"], "b": ["dogs run fast in the park"]}
    found = caption_scores(references, {"a": "a cat sat on the mat", "b": "dogs run"}, java=False)
    assert found["bleu4"] == pytest.approx(60.6531, abs=1e-4) and found["cider"] == pytest.approx(608.0664, abs=1e-4)


def test_one_video_has_no_cider() -> None:
    assert caption_scores({"a": ["a cat"]}, {"a": "a cat"}, java=False)["cider"] == 0


def test_a_caption_without_words_scores_nothing() -> None:
    found = caption_scores(REFERENCES, dict.fromkeys(REFERENCES, ""), java=False)
    assert found["bleu1"] == pytest.approx(0, abs=1e-6) and found["rouge_l"] == 0


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man's dog (small) can't jump -- it's 3-year-old!?",
         "a man 's dog -lrb- small -rrb- ca n't jump it 's 3-year-old !?"),
        ("Wait... what?", "wait what"),
        ("They cannot see 1,000 people, can they?", "they can not see 1,000 people can they"),
        ('the "red" T-shirt; 2.5 m', "the red t-shirt 2.5 m"),
        ("", ""),
    ],
)  # fmt: skip
def test_words_are_split_as_the_papers_program_splits_them(caption: str, words: str) -> None:
    assert split_words(caption) == words


@needs_java
def test_words_are_those_of_the_java_program() -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    captions = [text for texts in REFERENCES.values() for text in texts]
    captions += ["They're here, don't go!", "black/white dog & cat", "[music] plays {x}", "U.S. flag at 5 p.m.",
                 "Mr. Smith 's dogs' bones", "wi-fi 3d 4k, #1 of 50%", "gonna (maybe) run -- or not: go"]  # fmt: skip
    split = PTBTokenizer().tokenize({number: [{"caption": text}] for number, text in enumerate(captions)})
    assert [split_words(text) for text in captions] == [split[number][0] for number in range(len(captions))]
