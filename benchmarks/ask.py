"""How long does an answer take, beside the reference's way and beside what the memory allows?

    python benchmarks/ask.py                                 mobilevideogpt-0.5b, all cores, about 10 minutes
    python benchmarks/ask.py --tokens 8 --dtype int8         shorter; another precision
    python benchmarks/ask.py --folder DIR                    keep the model folder that is made, or use it again
    python benchmarks/ask.py --profile                       only where the time of a first question goes
    python benchmarks/ask.py --device cuda --tokens 256      on a GPU, under 3 minutes, with agreement with the CPU

The network has its full size and the weights of the parity recipe (tests/parity): speed does not depend on them. In one
process, on one clip, three things are timed:

- ours: `open_answerer`, with nothing in its cache: the first question (decoding, both encoders, read from the file, and
  the prompt), the next question about the same clip, and tokens per second after that;
- the released program's way (docs/ask.md), float32, with our kernels where it has none for a CPU: both encoders are
  read from disk for every question, all frames decoded in their own size, CLIP's last block and norm run and thrown
  away, the projector pools last, the output head runs on every position, and nothing is kept between questions;
- the limit: one reading of the language model's weights for each token, at the speed at which memory can be read.

On a GPU the limit is that of its memory. A first question is also timed in a process that has answered one, in all and
without the decoding of the clip, and in a fresh process: `fresh_process_s` is from its start, with the interpreter and
the imports, `fresh_first_s` from the opening of the model, with the device's context. Logits after 200 random tokens,
and 50 greedy answers of mobilevideogpt-nano (`same_answers`), are compared with float32 on the CPU.

On a CPU, peak memory is that of a fresh process that asks two questions, beside the bytes of all weights in the
precision chosen. Ratios count; a machine that is busy spoils the figures. Memory is read from /proc: Linux only. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import decord
import torch
import torch.nn.functional as F
from machine import finish
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from torch import Tensor

from vidsearch.answering.answerer import open_answerer
from vidsearch.answering.interface import Clip, ClipSession, ComputePrecision, GenerationOptions, TimeRange
from vidsearch.answering.mobilevideogpt.answerer import MobileVideoGPTAnswerer
from vidsearch.answering.mobilevideogpt.frame_choice import choose_frames
from vidsearch.answering.mobilevideogpt.tokenizer import ChatTokenizer
from vidsearch.cli.memory import keep_freed_memory
from vidsearch.models.folder import ModelFolder, config_text, open_folder
from vidsearch.models.hashes import write_hashes
from vidsearch.models.load import build
from vidsearch.models.mobilevideogpt.config import CONFIGS, IMAGE_TOKEN
from vidsearch.models.mobilevideogpt.frame_sampling import sample_frames
from vidsearch.models.mobilevideogpt.frame_selection import regroup
from vidsearch.models.mobilevideogpt.load import load_language_model, named_tensors
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.mobilevideogpt.pixels import preprocess_image, preprocess_video
from vidsearch.models.mobilevideogpt.prompt import AFTER_QUESTION, BEFORE_FRAMES
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.pool import DecodePool

REPOSITORY = Path(__file__).parents[1]
DEFAULT_CLIP = REPOSITORY / "examples" / "clips" / "long-five-events.mp4"
QUESTIONS = (
    "what happens in the clip and what is to be seen behind it",
    "which colour has it and where does it go then",
)
NANO = REPOSITORY / "vidsearch" / "models" / "bundled" / "mobilevideogpt-nano"
NANO_QUESTIONS = ("what is there?", "what colour is it?", "what happens?", "how many are there?", "where does it go?")
_NEVER_STOP = {"eos_token_id": 151_935}
_TOWERS = "encoders.pt"  # both encoders in float32, as the reference reads them from disk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilevideogpt-0.5b", choices=sorted(CONFIGS))
    parser.add_argument("--clip", type=Path, default=DEFAULT_CLIP)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=32, help="tokens to time")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--without-reference", action="store_true", help="ours alone")
    parser.add_argument("--profile", action="store_true", help="only the operators of a first question, by time")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)  # what the fresh process does
    parser.add_argument("--first-only", action="store_true", help=argparse.SUPPRESS)  # the same on a GPU
    wanted = parser.parse_args()
    if wanted.threads:
        torch.set_num_threads(wanted.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(wanted.folder or Path(scratch) / "models", wanted.model)
        if wanted.memory_only:
            print(json.dumps(memory_of_two_questions(folder, wanted, Path(scratch))))
        elif wanted.first_only:
            print(json.dumps(first_answer_in_this_process(folder, wanted, Path(scratch))))
        elif wanted.profile:
            print(operators_of_first_question(folder, wanted, Path(scratch)))
        else:
            report(folder, wanted, Path(scratch))


def report(folder: ModelFolder, wanted: argparse.Namespace, scratch: Path) -> None:
    """Measures and prints everything."""
    figures: dict[str, float] = {}

    def add(more: dict[str, float]) -> None:
        figures.update(more)
        for name, value in more.items():
            print(f"{name:28} {value:12.4g}", flush=True)

    add(time_ours(folder, wanted, scratch / "cache"))
    memory_gb_per_s = memory_speed(wanted.device)
    limit = memory_gb_per_s * 1e9 / figures["bytes_per_token"]
    share = figures["tokens_per_s"] / limit
    add({"memory_gb_per_s": memory_gb_per_s, "limit_tokens_per_s": limit, "share_of_limit": share})
    if wanted.device == "cpu":
        add(memory_in_fresh_process(folder, wanted))
    else:
        add(first_in_fresh_process(folder, wanted))
        add(agreement_with_cpu(folder, wanted, scratch))
    if not wanted.without_reference:
        add(time_reference(folder, wanted))
        first_s = figures["reference_first_s"]
        add({name: figures[f"{name[:-6]}_s"] / first_s for name in ("first_ratio", "next_ratio")})
        add({"tokens_ratio": figures["tokens_per_s"] / figures["reference_tokens_per_s"]})
    described = {"model": wanted.model, "dtype": wanted.dtype, "threads": torch.get_num_threads()}
    finish("ask", **described, clip=wanted.clip.name, **figures)


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def operators_of_first_question(folder: ModelFolder, wanted: argparse.Namespace, scratch: Path) -> str:
    """A table of torch's operators by time, of a first question in a process that has answered one before."""
    for run in ("first", "second"):
        answerer = opened(folder, wanted, scratch / run)
        kinds = (
            torch.profiler.supported_activities() if wanted.device != "cpu" else {torch.profiler.ProfilerActivity.CPU}
        )
        with torch.profiler.profile(activities=kinds) as profiler:
            _, encode_s, first_s = first_question(answerer, wanted.clip)
    table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60)
    return f"{table}\nfirst question {first_s:.2f} s, of which decoding and encoding {encode_s:.2f} s"


def time_ours(folder: ModelFolder, wanted: argparse.Namespace, cache: Path) -> dict[str, float]:
    """Seconds to the first token of the first question and of the next one, tokens per second, seconds to open."""
    started = time.perf_counter()
    answerer = opened(folder, wanted, cache)
    opening_s = time.perf_counter() - started
    session, encode_s, first_s = first_question(answerer, wanted.clip)
    next_s = min(time_to_first_token(session, QUESTIONS[1]) for _ in range(2))
    figures = {"opening_s": opening_s, "encode_s": encode_s, "first_s": first_s, "next_s": next_s}
    figures["first_tokens_per_s"] = decoding_speed(session, wanted.tokens)  # on a GPU a graph is captured in it
    figures["tokens_per_s"] = decoding_speed(session, wanted.tokens)
    _, _, figures["warm_first_s"] = first_question(answerer, wanted.clip, TimeRange(0.0))  # not in the cache
    figures["warm_first_undecoded_s"] = figures["warm_first_s"] - decode_s(wanted.clip)
    again = opened(folder, wanted, cache).encode(Clip(wanted.clip))
    assert again.clip.from_cache
    figures["cached_first_s"] = time_to_first_token(again, QUESTIONS[0])
    figures["bytes_per_token"] = float(bytes_per_token(answerer))
    return figures


def opened(folder: ModelFolder, wanted: argparse.Namespace, cache: Path) -> MobileVideoGPTAnswerer:
    keep_freed_memory()  # as the command does; the reference's way then has it, too
    answerer = open_answerer(
        folder.name,
        models_dir=folder.path.parent,
        device=wanted.device,
        precision=cast("ComputePrecision", wanted.dtype),
        cache_dir=cache,
    )
    return cast("MobileVideoGPTAnswerer", answerer)


def first_question(
    answerer: MobileVideoGPTAnswerer, clip: Path, span: TimeRange | None = None
) -> tuple[ClipSession, float, float]:
    """The session; seconds of decoding and encoding; seconds until the first token, these included."""
    started = time.perf_counter()
    session = answerer.encode(Clip(clip, span or TimeRange()))
    encode_s = time.perf_counter() - started
    return session, encode_s, encode_s + time_to_first_token(session, QUESTIONS[0])


def decode_s(clip: Path) -> float:
    """Seconds for the frames alone, from a worker process that runs already, as an answerer on a GPU has them."""
    status = clip.stat()
    file = VideoFile(clip, status.st_size, status.st_mtime_ns)
    with DecodePool(1, FrameSpec(1, "as-is"), WindowSpec(), buffered_events=1) as pool:
        for _ in range(2):
            started = time.perf_counter()
            for _ in pool.decode([file], partial(choose_frames, TimeRange(), "reference")):
                pass
    return time.perf_counter() - started


def time_to_first_token(session: ClipSession, question: str) -> float:
    """Seconds until the first token is chosen. An answer of one token ends when it is there."""
    started = time.perf_counter()
    for _ in session.ask(question, GenerationOptions(max_new_tokens=1)):
        pass
    return time.perf_counter() - started


def decoding_speed(session: ClipSession, tokens: int) -> float:
    """Tokens per second after the first one."""
    waiting = time_to_first_token(session, QUESTIONS[0])
    started = time.perf_counter()
    for _ in session.ask(QUESTIONS[0], GenerationOptions(max_new_tokens=tokens + 1)):
        pass
    return (session.tokens - 1) / (time.perf_counter() - started - waiting)


def bytes_per_token(answerer: MobileVideoGPTAnswerer) -> int:
    """What one token reads: all weights of the language model but the word table's, which serves as the head."""
    packed = getattr(answerer.chat.backend, "packed", None)
    if packed is not None:
        return int(packed.bytes_read)
    network = answerer.network
    parts = (network.model.layers, network.model.embed_tokens)
    return sum(parameter.nbytes for part in parts for parameter in part.parameters())


def memory_in_fresh_process(folder: ModelFolder, wanted: argparse.Namespace) -> dict[str, float]:
    return fresh_process(folder, wanted, "--memory-only")


def first_in_fresh_process(folder: ModelFolder, wanted: argparse.Namespace) -> dict[str, float]:
    started = time.time()
    figures = fresh_process(folder, wanted, "--first-only")
    return {"fresh_process_s": figures.pop("at") - started, **figures}


def fresh_process(folder: ModelFolder, wanted: argparse.Namespace, task: str) -> dict[str, float]:
    command = [sys.executable, __file__, task, "--folder", str(folder.path.parent), "--model", folder.name]
    command += ["--clip", str(wanted.clip), "--dtype", wanted.dtype, "--threads", str(torch.get_num_threads())]
    done = subprocess.run([*command, "--device", wanted.device], stdout=subprocess.PIPE, check=True, text=True)
    return cast("dict[str, float]", json.loads(done.stdout))


def first_answer_in_this_process(folder: ModelFolder, wanted: argparse.Namespace, scratch: Path) -> dict[str, float]:
    """Seconds from the opening of the model to the first token; the time when it was there."""
    started = time.perf_counter()
    session = opened(folder, wanted, scratch / "cache").encode(Clip(wanted.clip))
    time_to_first_token(session, QUESTIONS[0])
    return {"fresh_first_s": time.perf_counter() - started, "at": time.time()}


def memory_of_two_questions(folder: ModelFolder, wanted: argparse.Namespace, scratch: Path) -> dict[str, float]:
    """Peak resident memory of this process, before and after; and the weights' bytes in the precision that is run."""
    imported = peak_bytes()
    answerer = opened(folder, wanted, scratch / "cache")
    session = answerer.encode(Clip(wanted.clip))
    for question in QUESTIONS:
        time_to_first_token(session, question)
    peak = peak_bytes()
    width = answerer.chat.backend.dtype.itemsize
    towers = sum(tensor.numel() for tensor in named_tensors(answerer.network).values()) * width
    table = answerer.network.model.embed_tokens.weight.numel() * width
    layers = sum(parameter.numel() for parameter in answerer.network.model.layers.parameters()) * width
    weights = towers - layers - table + bytes_per_token(answerer)
    return {
        "imported_gb": imported / 1e9,
        "peak_gb": peak / 1e9,
        "weights_gb": weights / 1e9,
        "peak_ratio": peak / weights,
    }


def peak_bytes() -> int:
    """The most memory that this process had at once. `getrusage` would count its parent's, from before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def memory_speed(device: str) -> float:
    """GB/s at which the device, or all threads together, read 1 GiB, the best of 5."""
    block = torch.ones(1 << 28, device=device)
    block.sum().item()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        block.sum().item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return block.nbytes / best / 1e9


def agreement_with_cpu(folder: ModelFolder, wanted: argparse.Namespace, scratch: Path) -> dict[str, float]:
    """The largest difference of a logit, relative to the largest; the share of 50 answers that are the same."""
    on_cpu = argparse.Namespace(device="cpu", dtype="float32")
    rows = CONFIGS[folder.name].language_model.vocab_size
    ids = torch.randint(0, rows, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    found = []
    for settings in (wanted, on_cpu):
        chat = opened(folder, settings, scratch / settings.device).chat
        cache = KeyValueCache(chat.config.num_hidden_layers)
        chat.backend.logits(chat.backend.embed(ids), cache)
        found.append(chat.backend.next_logits(7, cache).float().cpu())
    difference = float((found[0] - found[1]).abs().max() / found[1].abs().max())
    nano = open_folder(NANO)
    told = [nano_answers(opened(nano, settings, scratch / f"nano-{settings.device}")) for settings in (wanted, on_cpu)]
    same = sum(one == other for one, other in zip(*told, strict=True)) / len(told[0])
    return {"logits_difference": difference, "same_answers": same}


def nano_answers(answerer: MobileVideoGPTAnswerer) -> list[str]:
    """Greedy answers about the first ten example clips."""
    clips = sorted(DEFAULT_CLIP.parent.glob("*.mp4"))[:10]
    sessions = [answerer.encode(Clip(clip)) for clip in clips]
    return ["".join(session.ask(question, GenerationOptions())) for session in sessions for question in NANO_QUESTIONS]


# ── the reference's way ──────────────────────────────────────────────────────────────────────────────────────────────


def time_reference(folder: ModelFolder, wanted: argparse.Namespace) -> dict[str, float]:
    """Seconds to the first token and tokens per second, done as the released program does it."""
    network = load_language_model(folder, wanted.device, torch.float32)
    tokenizer = ChatTokenizer(folder)
    with torch.inference_mode():
        started = time.perf_counter()
        prompt = reference_prompt(network, tokenizer, folder.path / _TOWERS, wanted.clip)
        cache = network.new_cache()
        token = int(network(inputs_embeds=prompt, cache=cache)[0, -1].argmax())  # the head on every position
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        few = max(1, wanted.tokens // 4)
        for _ in range(few):
            step = torch.tensor([[token]], device=wanted.device)
            token = int(network(step, cache=cache)[0, -1].argmax())
        return {"reference_first_s": first_s, "reference_tokens_per_s": few / (time.perf_counter() - started)}


def reference_prompt(network: MobileVideoGPT, tokenizer: ChatTokenizer, towers: Path, clip: Path) -> Tensor:
    """(1, L, d): all that happens before the language model, for every question anew."""
    place = network.model.norm.weight.device
    stored = torch.load(towers, weights_only=True)
    network.image_tower.load_state_dict(stored["image"])
    network.model.vision_tower.load_state_dict(stored["video"])
    reader = decord.VideoReader(str(clip), num_threads=1)
    frames = list(reader.get_batch(sample_frames(len(reader), reader.get_avg_fps())).asnumpy())
    image, video = preprocess_image(frames).to(place), preprocess_video(frames).to(place)
    states = network.image_tower.hidden_state(image, 11)
    transformer = network.image_tower.vision_model
    transformer.post_layernorm(transformer.encoder.layers[11](states))  # made and thrown away
    features = states[:, 1:]
    kept = torch.cat([8 * n + reference_choice(chunk) for n, chunk in enumerate(features.split(8))])
    motion = regroup(network.video_tokens(video[kept].unsqueeze(0))[0], network.config.keep)
    image_tokens = reference_projection(network.model.image_mm_projector, features)
    video_tokens = reference_projection(network.model.mm_projector, motion)
    visual = torch.cat((image_tokens.flatten(0, 1), video_tokens.flatten(0, 1))).unsqueeze(0)
    ids = [*tokenizer.before_frames(), *[IMAGE_TOKEN] * 16, *tokenizer.after_frames(QUESTIONS[0])]
    return network.embed_prompt(torch.tensor(ids, device=place), visual)


def reference_choice(features: Tensor) -> Tensor:
    """(8, L, D) → the 4 frames that get most attention, by a product with a one-hot matrix."""
    tokens = features.flatten(0, 1)
    attention = torch.softmax(tokens @ tokens.T * tokens.shape[1] ** -0.5, dim=-1)
    frame_of = F.one_hot(torch.arange(8, device=tokens.device).repeat_interleave(features.shape[1])).to(tokens.dtype)
    return (attention @ frame_of).sum(0).topk(4).indices.sort().values


def reference_projection(projector: torch.nn.Module, tokens: Tensor) -> Tensor:
    """ET-Proj with its second linear layer on every token, and pooling after it."""
    hidden = projector.mlp.mlp(tokens)
    side = round(hidden.shape[1] ** 0.5)
    grid = hidden.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    return projector.peg(F.adaptive_avg_pool2d(grid, projector.side)).flatten(2).transpose(1, 2)


# ── a model folder ───────────────────────────────────────────────────────────────────────────────────────────────────


def model_folder(models: Path, name: str) -> ModelFolder:
    """The folder of a network with the recipe's weights in bfloat16, made if it is not there."""
    path = models / name
    if not (path / _TOWERS).is_file():
        sys.path.append(str(REPOSITORY / "tests" / "parity"))
        from recipe_videogpt import weight

        path.mkdir(parents=True, exist_ok=True)
        network = cast("MobileVideoGPT", build(name))
        shapes = {key: tuple(tensor.shape) for key, tensor in named_tensors(network).items()}
        tensors = {key: torch.from_numpy(weight(key, shape, 0)).bfloat16() for key, shape in shapes.items()}
        save_file(tensors, path / "model.safetensors")
        (path / "config.json").write_text(
            config_text(name, "mobilevideogpt", asdict(CONFIGS[name]), {"weights": "recipe"})
        )
        (path / "generation_config.json").write_text(json.dumps(_NEVER_STOP))
        tokenizer_of_words().save(str(path / "tokenizer.json"))
        video = "model.vision_tower."
        towers = {
            "image": {key: value.float() for key, value in tensors.items() if key.startswith("vision_model.")},
            "video": {
                key.removeprefix(video): value.float() for key, value in tensors.items() if key.startswith(video)
            },
        }
        torch.save(towers, path / _TOWERS)
        write_hashes(path)
    return open_folder(path)


def tokenizer_of_words() -> Tokenizer:
    """Whole words: prompts of about the length that Qwen's tokenizer gives them."""
    text = BEFORE_FRAMES + " ".join(QUESTIONS) + AFTER_QUESTION
    splitter = Split(Regex(r" |\n"), "removed")
    words = dict.fromkeys(word for word, _ in splitter.pre_tokenize_str(text))
    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = splitter
    return tokenizer


if __name__ == "__main__":
    main()
