"""Prompts as ids, answers as text that comes in pieces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from asking_model import make_answering_folder
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from vidsearch.answering.mobilevideogpt.tokenizer import ChatTokenizer, generation_rules
from vidsearch.errors import ModelError
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.prompt import STOP_IDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_answering_folder(tmp_path_factory.mktemp("words") / "model")


def bytes_folder(folder: ModelFolder, target: Path) -> ModelFolder:
    """The same folder with a tokenizer like Qwen's: a token a byte."""
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: row for row, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    tokenizer.add_special_tokens(["<|im_end|>"])
    return with_files(folder, target, {"tokenizer.json": tokenizer.to_str()})


def with_files(folder: ModelFolder, target: Path, files: dict[str, str]) -> ModelFolder:
    target.mkdir()
    for name, text in files.items():
        (target / name).write_text(text)
    return replace(folder, path=target)


def test_the_prompt_is_that_of_the_template(folder: ModelFolder) -> None:
    words = ChatTokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    shown = [tokenizer.id_to_token(id) for id in [*words.before_frames(), *words.after_frames("Who sings?")]]
    assert shown == [
        *("<|im_start|>", "system", "\n", "you", "are", "a", "helpful", "assistant", ".", "<|im_end|>", "\n"),
        *("<|im_start|>", "user", "\n"),
        *("\n", "who", "sings", "?", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"),
    ]
    following = [tokenizer.id_to_token(id) for id in words.next_turn("who?")]
    assert following[:4] == ["<|im_end|>", "\n", "<|im_start|>", "user"]
    assert following[4:] == shown[14:16] + shown[17:]


def test_unknown_words_are_named_once(folder: ModelFolder) -> None:
    assert ChatTokenizer(folder).unknown("What zebra is there? A Zebra, a zebra") == ["zebra", "Zebra", ","]


def test_a_full_vocabulary_knows_every_word(folder: ModelFolder, tmp_path: Path) -> None:
    assert ChatTokenizer(bytes_folder(folder, tmp_path / "bytes")).unknown("zebra") == []


def test_words_come_one_by_one_without_blanks_around(folder: ModelFolder) -> None:
    words = ChatTokenizer(folder)
    pieces = list(words.pieces(words.encode("\n a red dog <|im_end|> sings\n")))
    assert pieces == ["a", " red", " dog", " sings"]


def test_a_character_waits_for_all_its_bytes(folder: ModelFolder, tmp_path: Path) -> None:
    words = ChatTokenizer(bytes_folder(folder, tmp_path / "bytes"))
    text = "één 犬 🐕 done"
    pieces = list(words.pieces(words.encode(text)))
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert pieces[:2] == ["é", "é"]


def test_an_unfinished_character_is_shown_at_the_end(folder: ModelFolder, tmp_path: Path) -> None:
    words = ChatTokenizer(bytes_folder(folder, tmp_path / "bytes"))
    assert "".join(words.pieces(words.encode("a🐕")[:-1])) == "a\ufffd"


def test_the_rules_come_from_the_folder(folder: ModelFolder, tmp_path: Path) -> None:
    assert generation_rules(folder).stop_ids == {0, 2}
    assert generation_rules(folder).repetition_penalty == 1.3
    plain = generation_rules(with_files(folder, tmp_path / "plain", {"generation_config.json": "{}"}))
    assert (plain.stop_ids, plain.repetition_penalty) == (set(STOP_IDS), 1.0)
    single = with_files(folder, tmp_path / "single", {"generation_config.json": json.dumps({"eos_token_id": 7})})
    assert generation_rules(single).stop_ids == {7}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"eos_token_id": ["x"]}', r"eos_token_id\[0\] must be a whole number, not x"),
        ('{"eos_token_id": [1e999]}', r"eos_token_id\[0\] must be a whole number, not inf"),
        ('{"eos_token_id": []}', "eos_token_id must have from 1 to 1000 entries, not 0"),
        ('{"repetition_penalty": 0}', "repetition_penalty must be a number from 0.001 to 1000, not 0"),
    ],
)
def test_rules_that_cannot_be_read_are_an_error(folder: ModelFolder, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"generation_config\.json:? {reason}.*; install mobilevideogpt-0.5b again"):
        generation_rules(with_files(folder, tmp_path / "bad", {"generation_config.json": text}))


def test_a_damaged_tokenizer_is_an_error(folder: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        ChatTokenizer(with_files(folder, tmp_path / "bad", {"tokenizer.json": "{}"}))
