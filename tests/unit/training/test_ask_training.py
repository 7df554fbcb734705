"""Training Mobile-VideoGPT: which tokens are learned, what each stage changes, adapters, runs that are cut off."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from vidsearch.errors import VidsearchError
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.clips import RenderedClip
from vidsearch.training.ask.conversation import Conversations, answer_loss
from vidsearch.training.ask.encode import encode, select
from vidsearch.training.ask.evaluate import Tally, measure, normalised
from vidsearch.training.ask.initialisation import init_from_scratch, resample_patch_embed
from vidsearch.training.ask.labels import frame_targets, token_labels
from vidsearch.training.ask.lora import LoraSettings, adapt, merge, save_adapter
from vidsearch.training.ask.probes import IGNORE_INDEX
from vidsearch.training.ask.questions import KINDS, NO, TEMPLATES, YES, Question, QuestionGenerator
from vidsearch.training.ask.run import run_stages, settings_from
from vidsearch.training.ask.settings import AskSettings, StageSettings, default_settings
from vidsearch.training.ask.stages import TuningStage, make_parts
from vidsearch.training.ask.trained_parts import TrainedParts
from vidsearch.training.ask.vocabulary import UNKNOWN, build_tokenizer
from vidsearch.training.commands import main
from vidsearch.training.world.scene import COLOURS, SHAPES, Scene, SceneAttributes, sample_meaning

NANO = CONFIGS["mobilevideogpt-nano"]
TINY = LoraSettings(rank=4, alpha=8, dropout=0.0)


@pytest.fixture
def network() -> MobileVideoGPT:
    torch.manual_seed(3)
    return MobileVideoGPT(NANO).eval()


@pytest.fixture(scope="module")
def conversations() -> Conversations:
    return Conversations(build_tokenizer())


def some_questions(clips: int, questions: int, *, held_out: bool = False) -> list[Question]:
    rng = np.random.default_rng(5)
    generator = QuestionGenerator(rng, held_out=held_out)
    meanings = [sample_meaning(rng, held_out=held_out) for _ in range(clips)]
    return [question for meaning in meanings for question in generator.several(meaning, questions)]


# Questions and their tokens


def test_answers_are_true_of_the_clip() -> None:
    generator = QuestionGenerator(np.random.default_rng(1), held_out=False)
    meaning = SceneAttributes("star", "red", "striped", "left", "grow", count=2)
    said = {kind: question.answer for kind in KINDS if (question := generator.one(meaning, kind))}
    assert said["what"] == "star" and said["colour"] == "red" and said["count"] == "two"
    assert said["background"] == "striped" and said["can't tell"] == "i can't tell"
    assert said["first"] == "it moves left" and said["then"] == "it grows"
    assert said["describe"] == "two red stars move left and then grow on a striped background"
    assert not {"direction", "doing", "overtaking", "spin", "size"} & said.keys()


def test_yes_and_no_are_balanced_and_no_is_wrong_somewhere() -> None:
    generator = QuestionGenerator(np.random.default_rng(2), held_out=False)
    meaning = SceneAttributes("star", "red", "striped", "left", size="small")
    asked = [generator.one(meaning, "is there") for _ in range(400)]
    answers = [question.answer for question in asked if question]
    assert 0.4 < answers.count(YES) / len(answers) < 0.6
    true = {"a star", "a red star", "a red star on a striped background"}
    claim = re.compile(rf"an? (?:\w+ )?(?:{'|'.join(SHAPES)})(?: on a \w+ background)?")
    said = {
        (found[0] in true, question.answer) for question in asked if question and (found := claim.search(question.text))
    }
    assert said == {(True, YES), (False, NO)}
    assert {question.answer for question in asked if question} == {YES, NO}


def test_held_out_ways_of_asking_are_never_trained_and_every_word_is_known() -> None:
    tokenizer = build_tokenizer()
    training = {way for ways in TEMPLATES.values() for way in ways[:-1]}
    held_out = {ways[-1] for ways in TEMPLATES.values()}
    assert not training & held_out
    drawn = {question.text for question in some_questions(300, 8)}
    kept = {question.text for question in some_questions(300, 8, held_out=True)}
    assert not drawn & kept
    for question in some_questions(200, 6) + some_questions(200, 6, held_out=True):
        tokens = tokenizer.encode(f"{question.text} {question.answer}").tokens
        assert UNKNOWN not in tokens
        assert tokenizer.decode(tokenizer.encode(question.answer).ids) == question.answer


def test_targets_are_the_answer_with_its_header_and_every_mark(conversations: Conversations) -> None:
    rows = conversations.rows([Question("colour", "what colour is the star?", "red")])
    tokenizer = conversations.tokenizer
    wanted = [tokenizer.id_to_token(int(i)) if i != IGNORE_INDEX else "-" for i in rows.labels[0]]
    assert wanted == ["-"] * 7 + ["<|im_end|>", "-", "<|im_start|>", "assistant", "\n", "red", "<|im_end|>", "\n"]


def test_a_shared_prefix_gives_the_loss_of_separate_conversations(
    network: MobileVideoGPT, conversations: Conversations
) -> None:
    visual = 0.1 * torch.randn(2, 20, NANO.language_model.hidden_size)
    rows = conversations.rows(some_questions(2, 3))
    total, count = torch.zeros(()), 0
    before = network.model.embed_tokens(torch.tensor(conversations.before))
    for number, (ids, wanted) in enumerate(zip(rows.ids, rows.labels, strict=True)):
        sequence = torch.cat((before, visual[number // 3], network.model.embed_tokens(ids)))
        logits = network(inputs_embeds=sequence[None])[0, -len(ids) : -1]
        total = total + F.cross_entropy(logits, wanted[1:], reduction="sum", ignore_index=IGNORE_INDEX)
        count += int((wanted[1:] != IGNORE_INDEX).sum())
    shared, _ = answer_loss(network, conversations, visual, rows, questions=3)
    torch.testing.assert_close(shared, total / count, rtol=1e-5, atol=1e-5)


# What the encoders are asked


def test_tokens_know_what_lies_under_them() -> None:
    scene = Scene(
        SceneAttributes("heart", "blue", "plain", "right", size="large"), np.random.default_rng(4), aspect=1.25
    )
    moments = np.linspace(0.1, 0.9, 5, dtype=np.float32)
    facts = token_labels(scene, moments, 8, square=False)
    covered = facts.colour > 0
    assert set(facts.colour[covered]) == {1 + COLOURS.index("blue")}
    assert set(facts.shape[covered]) == {1 + SHAPES.index("heart")}
    assert (facts.rates[covered][:, 0] > 0).all() and abs(facts.rates[covered][:, 1]).max() == 0
    columns = (np.arange(64) % 8 + 0.5) / 8
    middles = [(covered[n] * columns).sum() / covered[n].sum() for n in range(5)]
    assert middles == sorted(middles) and middles[-1] > middles[0] + 0.2
    whole = frame_targets(scene, moments, square=False)
    assert whole.shape == (5, 13) and (np.diff(whole[:, 0]) > 0).all() and (whole[:, 5] == 1).all()
    assert whole[2, 0] == pytest.approx(2 * middles[2] - 1, abs=0.15)


def test_tokens_are_asked_for_the_angle_of_what_turns_and_for_its_sense() -> None:
    moments = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    for motion, step, sense in (("spin-clockwise", 1, 1), ("spin-counter-clockwise", -1, 2)):
        scene = Scene(SceneAttributes("arrow", "blue", "plain", motion, size="large"), np.random.default_rng(4))
        facts = token_labels(scene, moments, 8, square=False)
        covered = facts.colour > 0
        assert (facts.sense[covered] == sense).all() and (facts.sense[~covered] == -1).all()
        assert (facts.sector[~covered] == -1).all() and (facts.before[0] == -1).all()
        sectors = [int(frame[on].max()) for frame, on in zip(facts.sector, covered, strict=True)]
        turned = [(after - now) * step % 8 for now, after in pairwise(sectors)]  # 22° to 35° of sectors of 45°
        assert set(turned) == {0, 1}
        assert [int(f[on].max()) for f, on in zip(facts.before[1:], covered[1:], strict=True)] == sectors[:-1]
    scene = Scene(SceneAttributes("arrow", "blue", "plain", "left", size="large"), np.random.default_rng(4))
    still = token_labels(scene, moments, 8, square=False)
    assert (still.sector == -1).all() and (still.sense == np.where(still.colour > 0, 0, -1)).all()


def test_uniform_frames_are_spread_and_scored_ones_follow_the_features(network: MobileVideoGPT) -> None:
    features = torch.randn(NANO.frames, NANO.image_tower.patches, NANO.image_tower.hidden_size)
    assert select(network, features, "uniform") == [0, 2, 5, 7, 8, 10, 13, 15]
    assert select(network, features, "scored") == network.keyframes(features).tolist()


def test_a_tower_from_nothing_tells_places_apart_and_looks_around_itself(network: MobileVideoGPT) -> None:
    init_from_scratch(network, 1)
    places = network.image_tower.vision_model.embeddings.position_embedding.weight[1:].unflatten(0, (8, 8))
    near, far = (places[3, 3] @ places[3, x] for x in (4, 7))
    assert near > far and near > 0
    pixels = torch.randn(1, 3, 64, 64)
    assert network.image_tower(pixels).isfinite().all()


def test_a_refined_encoder_sees_a_patch_as_the_coarse_one_saw_it_enlarged() -> None:
    torch.manual_seed(0)
    fine = VideoMamba(**asdict(replace(NANO.video_encoder, patch_size=8)))
    coarse = VideoMamba(**asdict(replace(NANO.video_encoder, patch_size=16)))
    resample_patch_embed(fine, coarse)
    picture = torch.randn(1, 3, 8, 8)
    enlarged = torch.nn.functional.interpolate(picture, size=16, mode="bilinear")
    torch.testing.assert_close(
        fine.vision_encoder.patch_embed(picture), coarse.vision_encoder.patch_embed(enlarged), rtol=1e-4, atol=1e-5
    )
    step, shorter = (e.vision_encoder.layers[0].mixer.dt_proj.bias for e in (coarse, fine))
    torch.testing.assert_close(shorter, step - math.log(4))


# Stages


def parts_for(network: MobileVideoGPT, *stages: StageSettings) -> TrainedParts:
    settings = AskSettings("mobilevideogpt-nano", stages, TINY, from_scratch=True, truth_weight=0.3, coarse_patch=16)
    return make_parts(network, settings)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("image-encoder", ("image_tower.", "image_reader.")),
        ("coarse-video-encoder", ("coarse_encoder.", "network.model.vision_tower.", "video_reader.")),
        ("video-encoder", ("network.model.vision_tower.", "video_reader.")),
        ("language", ("network.model.embed_tokens.", "network.model.layers.", "network.model.norm.", "claim_reader.")),
        ("image-projector", ("network.model.image_mm_projector.",)),
        ("video-projector", ("network.model.mm_projector.",)),
        (
            "tuning",
            (
                "network.model.mm_projector.",
                "network.model.image_mm_projector.",
                "network.model.layers.",
                "claim_reader.",
            ),
        ),
    ],
)
def test_a_stage_changes_what_it_trains_and_nothing_else(
    name: str, changes: tuple[str, ...], network: MobileVideoGPT, tmp_path: Path
) -> None:
    parts = parts_for(network, StageSettings(name, steps=2, batch=2, learning_rate=1e-2, questions=2, warm_up=0.0))  # type: ignore[arg-type]
    before = {
        f"{part}.{key}": value.clone() for part, m in parts.modules().items() for key, value in m.state_dict().items()
    }
    run_stages(parts, tmp_path)
    after = {f"{part}.{key}": value for part, m in parts.modules().items() for key, value in m.state_dict().items()}
    assert after.keys() == before.keys()  # adapters are merged
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith(changes) for key in changed)
    assert all(any(key.startswith(front) for key in changed) for front in changes)
    if name == "tuning":
        assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
        assert not any("bias" in key or "layernorm" in key for key in changed if ".layers." in key)


def test_tuning_moves_the_video_encoder_only_where_it_has_a_rate(network: MobileVideoGPT, tmp_path: Path) -> None:
    stage = StageSettings("tuning", steps=1, batch=2, learning_rate=1e-2, questions=2, warm_up=0.0, encoder_lr=1e-2)
    encoder = network.model.vision_tower
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    run_stages(parts_for(network, stage), tmp_path)
    assert any(not torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_what_the_video_encoder_tells_is_learned_on_where_it_has_a_weight(network: MobileVideoGPT) -> None:
    stage = StageSettings("tuning", steps=1, batch=2, learning_rate=1e-2, questions=2, encoder_lr=1e-2)
    parts = parts_for(network, stage)
    plain, probing = (TuningStage(parts, replace(stage, probe_weight=weight)) for weight in (0.0, 0.5))
    probing.parameter_groups()  # puts the adapters in
    answers_alone, with_probe = plain.loss(0), probing.loss(0)
    assert with_probe > answers_alone + 0.1  # a probe from scratch reads little
    with_probe.backward()  # type: ignore[no-untyped-call]
    assert parts.video_probe.to_token.weight.grad is not None


def test_words_of_a_question_claim_what_the_clip_shows(conversations: Conversations) -> None:
    meaning = SceneAttributes("star", "red", "striped", "left", count=2)
    generator = QuestionGenerator(np.random.default_rng(4), held_out=False)
    for kind, wrong in (("is there", {NO}), ("does it", {NO}), ("can't tell", {"i can't tell"})):
        for question in (generator.one(meaning, kind) for _ in range(40)):
            assert question is not None
            assert all(true for _, true in question.mentions) == (question.answer not in wrong), question
            mentions = conversations.rows([question]).mentions
            said = mentions[mentions != IGNORE_INDEX].tolist()
            assert len(said) >= 1 and (0.0 in said) == (question.answer in wrong)


def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    stages = (
        StageSettings("language", steps=2, batch=2, learning_rate=1e-2, questions=2),
        StageSettings("tuning", steps=4, batch=1, learning_rate=1e-2, questions=2),
    )

    def fresh() -> TrainedParts:
        torch.manual_seed(3)
        return parts_for(MobileVideoGPT(NANO), *stages)

    whole = fresh()
    run_stages(whole, tmp_path / "whole")

    class PulledPlugError(Exception):
        pass

    def pull_plug(metrics: dict[str, object]) -> None:
        if metrics["stage"] == "tuning" and metrics["step"] == 3:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        run_stages(fresh(), tmp_path / "cut", pull_plug, every=1, save_every=2)
    resumed = fresh()
    run_stages(resumed, tmp_path / "cut")
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[key]), key


# Adapters


def test_adapters_start_as_nothing_and_merge_to_what_they_compute(network: MobileVideoGPT) -> None:
    ids = torch.randint(0, 100, (1, 12))
    plain = network(ids)
    trained = adapt(network, LoraSettings(rank=4, alpha=8, dropout=0.5))
    assert len(trained) == 2 * 7 * NANO.language_model.num_hidden_layers
    torch.testing.assert_close(network(ids), plain)
    with torch.no_grad():
        for parameter in trained:
            parameter.normal_(std=0.1)
    adapted = network(ids)
    assert (adapted - plain).abs().max() > 0.01
    network.train()
    assert not torch.equal(network(ids), network(ids))  # dropout
    network.eval()
    names = set(MobileVideoGPT(NANO).state_dict())
    merge(network)
    assert set(network.state_dict()) == names
    torch.testing.assert_close(network(ids), adapted, rtol=1e-4, atol=1e-4)


def test_an_adapter_file_holds_what_the_adapters_add(network: MobileVideoGPT, tmp_path: Path) -> None:
    """peft's names: W + alpha / r · B A of each layer is the adapted network."""
    ids = torch.randint(0, 100, (1, 12))
    base = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        for parameter in adapt(network, TINY):
            parameter.normal_(std=0.1)
    save_adapter(network, TINY, tmp_path, "mobilevideogpt-nano")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["lora_alpha"] == 8 and config["peft_type"] == "LORA"
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    layers = {key.split(".lora_")[0] for key in tensors}
    assert len(layers) == 7 * NANO.language_model.num_hidden_layers and len(tensors) == 2 * len(layers)
    for layer in layers:
        low, high = (tensors[f"{layer}.lora_{side}.weight"] for side in "AB")
        base[f"{layer.removeprefix('base_model.model.')}.weight"] += config["lora_alpha"] / config["r"] * high @ low
    other = MobileVideoGPT(NANO).eval()
    other.load_state_dict(base)
    torch.testing.assert_close(other(ids), network(ids), rtol=1e-4, atol=1e-4)


# Measuring, commands


def test_answers_are_compared_without_case_and_signs() -> None:
    assert normalised("  It moves LEFT. ") == normalised("it moves left")
    assert normalised("I can't tell!") == "i can't tell"
    assert normalised("counter-clockwise") != normalised("clockwise")
    tally = Tally()
    for answer in ("red", "Red.", "blue"):
        tally.count(Question("colour", "?", "red"), answer)
    assert tally.accuracy("colour") == pytest.approx(2 / 3) and tally.chance() == 1.0


def test_a_network_that_saw_nothing_is_measured_and_blank_clips_are_alike(
    network: MobileVideoGPT, conversations: Conversations
) -> None:
    tally = measure(network, conversations, clips=3, questions=4)
    assert tally.asked.total() == 12 and tally.accuracy() < 0.5
    rng = np.random.default_rng(0)
    rendered = [RenderedClip(sample_meaning(rng, held_out=True), rng, NANO) for _ in range(2)]
    features, _, video = encode(network, rendered, "scored", "cpu", blank=True)
    assert torch.equal(features[0], features[1]) and torch.equal(video[0], video[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "mobilevideogpt-9b"], "No model that answers is called"),
        (["--stages", "seeing"], "has no stage seeing"),
        (["--model", "mobilevideogpt-0.5b"], "say how long each stage is with --steps"),
        (["--model", "mobilevideogpt-0.5b", "--steps", "3"], "trained from published weights"),
        (["--from", "nowhere"], "has finished no stage"),
    ],
)
def test_a_command_that_cannot_run_says_why(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match=message):
        main(["ask", "--out", str(tmp_path / "run"), *words])


def test_the_published_hyperparameters_are_the_defaults() -> None:
    settings = default_settings("mobilevideogpt-0.5b")
    assert [stage.name for stage in settings.stages] == ["image-projector", "video-projector", "tuning"]
    assert settings.lora == LoraSettings(128, 256, 0.05)
    assert [stage.learning_rate for stage in settings.stages] == [1e-3, 1e-3, 2e-4]
    assert settings.stages[2].projector_lr == 2e-5 and settings.stages[1].batch == 32


def test_the_settings_of_a_run_are_read_back_whatever_version_wrote_them() -> None:
    settings = default_settings("mobilevideogpt-nano")
    written = json.loads(json.dumps(asdict(settings)))
    assert settings_from(written) == settings
    earlier = written | {"from_nothing": written.pop("from_scratch"), "claim_weight": written.pop("truth_weight")}
    former = {"encoder_lr": "encoder_rate", "muon_lr": "matrix_rate", "probe_weight": "facts_weight"}
    former |= {"projector_lr": "projector_rate"}
    earlier["stages"] = [{former.get(name, name): value for name, value in s.items()} for s in written["stages"]]
    assert settings_from(earlier) == settings
