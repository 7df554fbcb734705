"""The answerer against the network used plainly; what is kept between questions; odd clips."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asking_model import CONFIG, make_answering_folder, seeded_network
from support import CLIPS

from vidsearch.answering.answerer import open_answerer
from vidsearch.answering.interface import Clip, GenerationOptions, TimeRange
from vidsearch.answering.mobilevideogpt import answerer as answering_module
from vidsearch.answering.mobilevideogpt.answerer import MobileVideoGPTAnswerer
from vidsearch.answering.mobilevideogpt.frames import MomentPixels, open_decoder, read_moment
from vidsearch.answering.mobilevideogpt.lm_backend import DeviceBackend
from vidsearch.answering.mobilevideogpt.tokenizer import ChatTokenizer
from vidsearch.answering.visual_cache import VisualCache
from vidsearch.errors import ModelError, VideoError, VidsearchError
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.qwen2.cache import KeyValueCache

CLIP = CLIPS / "red-square-left-then-up.mp4"
OTHER = CLIPS / "yellow-star-blinks.mp4"
SHORT = GenerationOptions(max_new_tokens=12)
QUESTION = "what is there?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_answering_folder(tmp_path_factory.mktemp("answerer") / "mobilevideogpt-0.5b")


@pytest.fixture(scope="module")
def answerer(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> MobileVideoGPTAnswerer:
    """One for all tests that do not look into its cache: a clip is decoded once for all of them."""
    return opened(folder, tmp_path_factory.mktemp("shared"))


def opened(folder: ModelFolder, tmp_path: Path) -> MobileVideoGPTAnswerer:
    cache = VisualCache(tmp_path / "cache")
    return MobileVideoGPTAnswerer(folder, device="cpu", precision="float32", cache=cache)


def said(answer: object) -> str:
    return "".join(answer)  # type: ignore[call-overload]


def plain_answer(folder: ModelFolder, clip: Path, questions: list[str]) -> list[str]:
    """What the network says when it is used step by step, everything anew for each question of a conversation."""
    network, words = seeded_network(0), ChatTokenizer(folder)
    pixels = read_moment(clip, TimeRange(), "reference", CONFIG)
    with torch.inference_mode():
        visual = network.encode_clip(pixels.image, pixels.video).half().float()
    answers: list[str] = []
    ids = [*words.before_frames(), *[IMAGE_TOKEN] * 16]
    for number, question in enumerate(questions):
        ids += words.next_turn(question) if number else words.after_frames(question)
        with torch.inference_mode():
            prompt = network.embed_prompt(torch.tensor(ids), visual)
            given = list(
                network.generate(inputs_embeds=prompt, max_new_tokens=12, stop_ids={0, 2}, repetition_penalty=1.3)
            )
        answers.append("".join(words.pieces(given)))
        ids += given
    return answers


def test_the_answer_is_that_of_the_network_used_plainly(folder: ModelFolder, answerer: MobileVideoGPTAnswerer) -> None:
    answers = {}
    for clip in (CLIP, OTHER):
        answers[clip] = said(answerer.encode(Clip(clip)).ask(QUESTION, SHORT))
        assert [answers[clip]] == plain_answer(folder, clip, [QUESTION])
    assert answers[CLIP] != answers[OTHER]


def test_a_second_question_stands_for_itself(folder: ModelFolder, answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    first = said(session.ask(QUESTION, SHORT))
    second = said(session.ask("who runs now?", SHORT))
    assert [second] == plain_answer(folder, CLIP, ["who runs now?"])
    assert said(session.ask(QUESTION, SHORT)) == first != second


def test_a_conversation_goes_on(folder: ModelFolder, answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    answers = [
        said(session.ask(question, SHORT, keep_history=bool(n))) for n, question in enumerate((QUESTION, "who?"))
    ]
    assert answers == plain_answer(folder, CLIP, [QUESTION, "who?"])
    assert answers[1] != said(session.ask("who?", SHORT))


def test_an_answer_may_be_left_in_the_middle(answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    whole = said(session.ask(QUESTION, SHORT))
    answer = iter(session.ask(QUESTION, SHORT))
    next(answer)
    assert session.finish_reason == "interrupted"
    answer.close()  # type: ignore[attr-defined]  # a generator
    assert said(session.ask(QUESTION, SHORT)) == whole


def test_limits_and_what_is_told_of_them(answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    long = said(session.ask(QUESTION, GenerationOptions(max_new_tokens=8)))
    assert (session.tokens, session.finish_reason) == (8, "length")
    short = said(session.ask(QUESTION, GenerationOptions(max_new_tokens=3)))
    assert (session.tokens, session.finish_reason) == (3, "length")
    assert long.startswith(short)


def test_an_answer_ends_where_the_model_has_no_place_left(answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    said(session.ask("now " * 90, GenerationOptions(max_new_tokens=1000)))
    assert session.finish_reason == "context"
    used = 14 + 176 + len(answerer.chat.tokenizer.after_frames("now " * 90))
    assert session.tokens == CONFIG.language_model.max_position_embeddings - used + 1  # the last one is not read again


def test_a_question_that_is_too_long_is_refused(answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    with pytest.raises(VidsearchError, match="takes 320 tokens, the clip's 190 included"):
        said(session.ask("now " * 200, SHORT))
    assert said(session.ask(QUESTION, SHORT))


def test_temperature_draws_and_a_seed_draws_again(answerer: MobileVideoGPTAnswerer) -> None:
    session = answerer.encode(Clip(CLIP))
    drawn = {said(session.ask(QUESTION, replace(SHORT, temperature=2.0, seed=seed))) for seed in range(4)}
    assert len(drawn) == 4
    again = said(session.ask(QUESTION, replace(SHORT, temperature=2.0, seed=3)))
    assert again in drawn
    assert said(session.ask(QUESTION, replace(SHORT, temperature=1e-4, seed=1))) == said(session.ask(QUESTION, SHORT))


def test_a_clip_is_decoded_and_encoded_once(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counted(path: Path, *rest: Any) -> MomentPixels:
        decoded.append(path)
        return read_moment(path, *rest)

    monkeypatch.setattr(answering_module, "read_moment", counted)
    copy = tmp_path / "clip.mp4"
    shutil.copy(CLIP, copy)
    first = opened(folder, tmp_path).encode(Clip(copy))
    assert not first.clip.from_cache
    moved = copy.rename(tmp_path / "moved.mp4")  # the content is what counts
    second = opened(folder, tmp_path).encode(Clip(moved))
    assert second.clip == replace(first.clip, path=moved, from_cache=True)
    assert said(second.ask(QUESTION, SHORT)) == said(first.ask(QUESTION, SHORT))
    assert decoded == [copy]


def test_a_second_question_costs_its_own_words(
    answerer: MobileVideoGPTAnswerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    logits = answerer.chat.backend.logits

    def counted(embeddings: torch.Tensor, cache: KeyValueCache) -> torch.Tensor:
        lengths.append(embeddings.shape[1])
        return logits(embeddings, cache)

    monkeypatch.setattr(answerer.chat.backend, "logits", counted)
    session = answerer.encode(Clip(CLIP))
    one = GenerationOptions(max_new_tokens=1)
    for question in (QUESTION, "who sings?"):
        said(session.ask(question, one))
    said(session.ask("who?", one, keep_history=True))
    words = answerer.chat.tokenizer
    prefix = len(words.before_frames()) + 16 * CONFIG.image_side**2 + 2 * CONFIG.video_side**2
    own = [len(words.after_frames(question)) for question in (QUESTION, "who sings?")]
    assert lengths == [prefix + own[0], own[1], 1 + len(words.next_turn("who?"))]  # 1: the last token of the answer


def test_another_range_coverage_or_network_is_another_entry(folder: ModelFolder, tmp_path: Path) -> None:
    opened(folder, tmp_path).encode(Clip(CLIP))
    other = make_answering_folder(tmp_path / "other", seed=1)
    for clip in (Clip(CLIP, TimeRange(1.0)), Clip(CLIP, coverage="full")):
        assert not opened(folder, tmp_path).encode(clip).clip.from_cache
    assert not opened(other, tmp_path).encode(Clip(CLIP)).clip.from_cache
    data = bytearray(other.weights.read_bytes())
    data[len(data) // 2] ^= 1  # neither end of the file tells; nor does a training step that leaves both alone
    other.weights.write_bytes(data)
    assert not opened(other, tmp_path).encode(Clip(CLIP)).clip.from_cache
    assert opened(folder, tmp_path).encode(Clip(CLIP)).clip.from_cache


def test_what_was_seen_is_told(answerer: MobileVideoGPTAnswerer) -> None:
    seen = answerer.encode(Clip(CLIP, TimeRange(1.0, 4.0))).clip
    assert (seen.start_s, seen.end_s, len(seen.times_s), seen.model) == (1.0, 4.0, 16, "mobilevideogpt-0.5b")
    assert seen.times_s[0] == 1.0
    assert seen.times_s[-1] < 4.0
    assert len(seen.keyframes_s) == 8
    assert set(seen.keyframes_s) <= set(seen.times_s)


@pytest.mark.parametrize(("precision", "words"), [("bfloat16", "bfloat16"), ("int8", "int8"), ("auto", "float32")])
def test_precisions(folder: ModelFolder, tmp_path: Path, precision: str, words: str) -> None:
    cache = VisualCache(tmp_path / "cache")
    answerer = MobileVideoGPTAnswerer(folder, device="cpu", precision=precision, cache=cache)  # type: ignore[arg-type]
    assert answerer.device.startswith(f"cpu ({words}, ")
    session = answerer.encode(Clip(CLIP))
    assert said(session.ask(QUESTION, SHORT)) == said(session.ask(QUESTION, SHORT)) != ""


def test_an_accelerator_keeps_the_encoders_and_answers_alike(
    folder: ModelFolder, answerer: MobileVideoGPTAnswerer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an accelerator runs, here on the CPU."""

    def on_device(_: ModelFolder, network: MobileVideoGPT, device: torch.device, __: str) -> DeviceBackend:
        return DeviceBackend(network, device, "float32")

    monkeypatch.setattr(answering_module, "open_lm_backend", on_device)
    on_cpu = {clip: answerer.encode(Clip(clip)) for clip in (CLIP, OTHER)}  # reads encoders, which `kept` does not
    kept = opened(folder, tmp_path)
    read: list[ModelFolder] = []
    monkeypatch.setattr(answering_module, "load_language_model", read.append)
    for clip in (CLIP, OTHER):
        session, expected = kept.encode(Clip(clip)), on_cpu[clip]
        assert session.clip.keyframes_s == expected.clip.keyframes_s
        for question in (QUESTION, "who runs now?"):
            assert said(session.ask(question, SHORT)) == said(expected.ask(question, SHORT))
    assert read == []


def test_models_and_devices_that_are_not_here(folder: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="searches and is not a model for ask"):
        open_answerer("mobileviclip-nano", models_dir=folder.path.parent)
    with pytest.raises(VidsearchError, match="there is no kind of device called 'abacus'"):
        open_answerer("mobilevideogpt-0.5b", models_dir=folder.path.parent, device="abacus", cache_dir=tmp_path)


def test_a_range_outside_and_a_file_that_is_no_video(answerer: MobileVideoGPTAnswerer, tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match=r"lies outside .*, which goes from 00:00\.0 to 00:06\.0"):
        answerer.encode(Clip(CLIP, TimeRange(60.0)))
    (tmp_path / "notes.mp4").write_text("these are notes, no video")
    with pytest.raises(VideoError, match=r"notes\.mp4") as caught:
        answerer.encode(Clip(tmp_path / "notes.mp4"))
    assert caught.value.kind == "not-a-video"


def test_the_cache_holds_half_precision(folder: ModelFolder, tmp_path: Path) -> None:
    opened(folder, tmp_path).encode(Clip(CLIP))
    [entry] = (tmp_path / "cache").iterdir()
    visual = 16 * CONFIG.image_side**2 + 2 * CONFIG.video_side**2
    assert 0 < entry.stat().st_size - 2 * visual * CONFIG.language_model.hidden_size < 2000
    found = VisualCache(tmp_path / "cache").get(entry.stem)
    assert found is not None
    assert found[0].shape == (visual, CONFIG.language_model.hidden_size)
    assert np.isfinite(found[0]).all()


def test_an_accelerator_is_made_ready_while_its_kept_worker_decodes(
    folder: ModelFolder, answerer: MobileVideoGPTAnswerer, tmp_path: Path
) -> None:
    """The same steps on the CPU: what is prepared in the background changes no word."""
    ours = opened(folder, tmp_path)
    backend = DeviceBackend(ours.network, torch.device("cpu"), "float32")
    ours.chat = replace(ours.chat, backend=backend)
    with open_decoder() as ours._decoder:
        ours._decoder.start()
        worker = ours._decoder.worker_pids
        for clip in (CLIP, OTHER):
            here, there = ours.encode(Clip(clip)), answerer.encode(Clip(clip))
            for question in (QUESTION, "what colour?"):
                assert said(here.ask(question, SHORT)) == said(there.ask(question, SHORT))
        assert ours._decoder.worker_pids == worker
    assert ours._prepare().done()
