"""Prompts of the question sets to the character, and the table of what each rule makes of an output, row by row."""

from __future__ import annotations

import pytest

from vidsearch.evaluation.questions import (
    Accuracy,
    Extracted,
    accuracy,
    activitynet_qa_prompt,
    cleaned,
    egoschema_letter,
    egoschema_prompt,
    exact_match,
    judged,
    mean_percent,
    mlvu_answer_later,
    mlvu_letter,
    mlvu_prompt,
    mvbench_letter,
    mvbench_prompt,
    nextqa_letter,
    nextqa_prompt,
    perceptiontest_letter,
    perceptiontest_prompt,
)

OPTIONS = ("clap proudly", "the lady sitting down", "lay on floor", "just picked it up", "crawl")
LETTERED = tuple(f"{letter}. {option}" for letter, option in zip("ABCDE", OPTIONS, strict=True))

# Output → MVBench, EgoSchema, NExT-QA, PerceptionTest, MLVU, MLVU later; "-" none, "?" drawn, "=" the whole output.
# The values are those that the original programs gave.
TABLE = [
    ("B", "B B B B B B"),
    ("(B)", "B B B B B B"),
    ("b", "B ? ? - - ="),
    ("B)", "B ? ? B B B"),
    ("B.", "B B B B B ="),
    ("B. the lady sitting down", "B B B B B ="),
    ("Answer: B", "B B B B A ="),
    ("Answer: (C) lay on floor", "C C C C A C"),
    ("The answer is D.", "D D D D D ="),
    ("Best option: (D", "D D D D B ="),
    ("D) because A is wrong", "D A A D D D"),
    ("the lady sitting down", "- ? ? - - ="),
    ("The baby is lay on floor in the video", "- ? C - - ="),
    ("A man is sitting down", "A A A A A ="),
    ("C picks up the cup", "C C C C C ="),
    ("Both A and C", "A A C A B ="),
    ("(A) or (C)", "A A C A A A"),
    ("BC", "- C C - B ="),
    ("**B**", "B ? ? B B ="),
    ("<B>", "B ? ? B B ="),
    ("B\n\nC", "B C C B B ="),
    ("e. crawl", "E ? ? - - ="),
    ("E", "E E E - - ="),
    ("USA is shown", "- A A - A ="),
    ("None of the above", "- ? ? - - ="),
    ("I cannot tell", "- ? ? - - ="),
    ("", "- ? ? - - ="),
]


def shown(extracted: Extracted) -> str:
    return extracted.letter or ("?" if extracted.drawn else "-")


@pytest.mark.parametrize(("output", "expected"), TABLE, ids=[output for output, _ in TABLE])
def test_each_rule_finds_the_letter_that_the_original_found(output: str, expected: str) -> None:
    later = mlvu_answer_later(output)
    wanted = expected.split()
    found = [
        shown(mvbench_letter(output)),
        shown(egoschema_letter(output, LETTERED)),
        shown(nextqa_letter(output, OPTIONS)),
        shown(perceptiontest_letter(output)),
        shown(mlvu_letter(output)),
    ]
    assert found == wanted[:5]
    assert later == (output if wanted[5] == "=" else wanted[5])


def test_prompts() -> None:
    assert mvbench_prompt("What?", ["one", "two", "three"]) == (
        "Question:What?\nOption:\n(A) one\n(B) two\n(C) three\nOnly give the best option.\n"
    )
    assert mlvu_prompt("What?\n(A) one") == "\nWhat?\n(A) one\nOnly give the best option.\n\nBest option: ("
    assert nextqa_prompt(" why did he clap ", [" a ", "b", "c", "d", "e "]) == (
        "why did he clap\nA. a\nB. b\nC. c\nD. d\nE. e"
    )
    assert egoschema_prompt("What?", LETTERED[:2]) == (
        "What?\nA. clap proudly\nB. the lady sitting down\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert perceptiontest_prompt("What?", ["one", "two", "three"]) == (
        "What?\nA. one\nB. two\nC. three\nAnswer with the option's letter from the given choices directly."
    )
    assert activitynet_qa_prompt("is the man OLD") == (
        "Is the man old? Answer the question using a single word or phrase."
    )


def test_each_form_of_a_letter_counts_where_it_stands_last() -> None:
    assert egoschema_letter("B. yes, A is near B or so", LETTERED) == Extracted("B")  # "B." before "A " before "B "
    assert egoschema_letter("A.", LETTERED) == Extracted("A")
    assert egoschema_letter("clearly I would say A. clap proudly then", (" A. clap proudly ",)) == Extracted("A")


def test_an_output_is_cleaned_of_its_end() -> None:
    assert cleaned("  B. yes <|im_end|>\n") == "B. yes"


def test_drawn_answers_are_wrong_and_counted() -> None:
    outputs = ["B", "no idea", "E", "(A)"]
    own = accuracy([egoschema_letter(output, LETTERED) for output in outputs], ["B", "A", "E", "C"])
    assert own == Accuracy(right=2, total=4, drawn=1)
    assert own.percent == 50 and own.percent_with_luck() == pytest.approx(55)
    assert mean_percent({"one": own, "two": Accuracy(1, 1)}) == 75


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("{'pred': 'yes', 'score': 4.8}", (True, 4)),
        ("Sure: {'pred': 'No', 'score': 1}", (False, 1)),
        ("yes, 5", None),
        ("{'pred': 'yes', 'score': '4.8'}", None),
        ("{'pred': 'maybe', 'score': 3}", None),
        ("}{", None),
    ],
)
def test_a_judges_reply_is_read(reply: str, verdict: tuple[bool, int] | None) -> None:
    assert judged(reply) == verdict


def test_without_a_judge_answers_must_be_equal() -> None:
    assert exact_match(["yes", "Red", "two"], ["yes", "red", "two"]) == Accuracy(2, 3)
