"""The tokenizer on texts whose right ids follow from the rules; CLIP's own ids are in tests/parity."""

from __future__ import annotations

import html
import random
import string

import ftfy
import numpy as np
import pytest

from vidsearch.models.mobileviclip.tokenizer import (
    MERGES,
    MOST_SEARCHED,
    Vocabulary,
    byte_alphabet,
    clean,
    is_plain,
    load_vocabulary,
    pre_text,
    split,
    token_ids,
    tokenize,
)


def decoded(ids: list[int]) -> str:
    """The text of ids, through the vocabulary's own tables."""
    vocabulary = load_vocabulary()
    tokens = {index: sign for sign, index in vocabulary.base_ids.items()}
    tokens |= {512 + rank: merge.replace(" ", "") for merge, rank in vocabulary.ranks.items()}
    byte_of = {sign: byte for byte, sign in enumerate(vocabulary.byte_signs)}
    joined = "".join(tokens[index] for index in ids).replace("</w>", " ")
    return b"".join(b" " if sign == " " else bytes([byte_of[sign]]) for sign in joined).decode()


def test_the_vocabulary_is_whole() -> None:
    vocabulary = load_vocabulary()
    assert (len(vocabulary.ranks), len(vocabulary.base_ids)) == (48894, 512)
    assert vocabulary.ranks["i n"] == 0
    assert len(set(byte_alphabet())) == 256


def test_the_first_merge_is_the_same_whether_the_file_or_the_table_is_asked() -> None:
    merges = b"\ni n\nt h\na n</w>\nn d</w>\n"
    expected = {
        ("i", "n", "d</w>"): (0, 0),
        ("t", "h", "i", "n"): (2, 0),  # in the line just before that of another pair
        ("n", "d</w>"): (0, 3),
        ("t", "h", "t", "h"): (0, 1),
        ("a", "n", "d"): (0, MERGES),
    }
    searching, looking_up = Vocabulary(merges), Vocabulary(merges)
    looking_up.first_merge("x" * (MOST_SEARCHED + 1))
    for signs, first in expected.items():
        assert searching.first_merge(signs) == looking_up.first_merge(signs) == first


@pytest.mark.parametrize("text", ["a red square moves to the left", "un été à Zürich", "qqqzxv"])
def test_a_few_words_and_many_are_tokenized_alike(text: str) -> None:
    few, many = load_vocabulary.__wrapped__(), load_vocabulary.__wrapped__()
    many.first_merge("#" * (MOST_SEARCHED + 1))
    letters = [few.byte_signs[byte] for byte in text.encode()]
    for end in range(2, len(letters)):
        signs = [*letters[max(0, end - 5) : end], letters[end] + "</w>"]
        assert few.first_merge(signs) == many.first_merge(signs)


def test_rows_start_end_and_are_padded() -> None:
    rows = tokenize(["a photo of a dog", ""])
    assert rows.dtype == np.int64
    assert rows[0].tolist() == [49406, 320, 1125, 539, 320, 1929, 49407, *[0] * 70]
    assert rows[1].tolist() == [49406, 49407, *[0] * 75]
    assert tokenize([]).shape == (0, 77)


def test_a_long_text_is_cut_and_still_ends() -> None:
    row = tokenize(["dog " * 100])[0]
    assert row.tolist() == [49406, *[1929] * 75, 49407]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("wow!'s", ["wow", "!'", "s"]),
        ("it's 42", ["it", "'s", "4", "2"]),
        ("été №½ 東京", ["été", "№", "½", "東京"]),
        ("हिन्दी", ["ह", "ि", "न", "्", "द", "ी"]),  # marks are neither letters nor numbers
        ("<start_of_text>a<end_of_text>", ["<start_of_text>", "a", "<end_of_text>"]),
        ("<|startoftext|>", ["<|", "startoftext", "|>"]),
        ("a]b^é\\-é", ["a", "]", "b", "^", "é", "\\-", "é"]),
    ],
)
def test_a_text_falls_into_pieces(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


def test_special_tokens_in_a_text_become_their_ids() -> None:
    assert token_ids("<start_of_text> dog <END_OF_TEXT>") == [49406, 1929, 49407]


@pytest.mark.parametrize(
    "text", ["a man riding a bicycle", "zażółć gęślą jaźń 123", "日本語 кириллица ελληνικά", "👍🏽 ok"]
)
def test_ids_say_what_the_text_said(text: str) -> None:
    assert decoded(token_ids(text)).replace(" ", "") == text.replace(" ", "")


def test_plain_text_takes_a_short_cut_that_changes_nothing() -> None:
    draw = random.Random(1)
    signs = "".join(sorted(set(string.printable[:95]) - {"&"}))
    texts = ["".join(draw.choices(signs, k=draw.randrange(60))) for _ in range(2000)]
    texts += ["\\u00e9 \\x41 %20", "'' `` -- ...", '<b>bold</b> < > "', "fi ff ffi", "#39; lt; amp;"]
    for text in texts:
        assert is_plain(text)
        repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
        assert clean(text) == " ".join(repaired.split()).lower()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("AT&amp;amp;T", "at&t"),
        ("“Café”", '"café"'),
        ("two\twords\n", "two words"),
        ("schÃ¶n", "schön"),
        ("\x1b[31mred", "red"),
    ],
)
def test_other_text_is_repaired(text: str, cleaned: str) -> None:
    assert not is_plain(text)
    assert clean(text) == cleaned


def test_bytes_that_are_no_text_are_tokens_all_the_same() -> None:
    assert token_ids("dog \udcff") == token_ids("dog \ufffd") == [1929, 39802]


def test_captions_are_simplified() -> None:
    assert pre_text(' Don\'t: "Jump"-high / <person>, (twice)  ') == "dont jump high person twice"
