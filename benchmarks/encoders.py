"""Which form of the clip encoder is fastest, and do its vectors stay those of the training form?

    python benchmarks/encoders.py                                 all sizes, all cores, wall time
    python benchmarks/encoders.py --models mobileviclip-small --threads 1 --clock processor
    python benchmarks/encoders.py --device cuda --batch 32        on a GPU, less than a minute

Every round runs each form once, one after the other, and each form keeps its best round, so that a machine that is
busy with other things slows all of them alike. `--clock processor` counts the processor time of this process instead
of wall time: with one thread it is what a free core would need. Weights are seeded, of the published sizes: speed does
not depend on their values, and the cosine is a strict one, since random networks have no margin. Prints a table and, as
its last line, one JSON object. ONNX Runtime needs `onnxscript` (torch's exporter) and is left out with --no-onnx.

On a GPU the forms take clips that are there already; the last one, frames in the memory of this process, as `index`
has them, and gives vectors there. --compile adds torch.compile and prints how long it takes to be ready.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from machine import draw_weights, finish, machine
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.models.device import fast_dtype
from vidsearch.models.load import build
from vidsearch.models.mobileviclip.clip_encoder import MobileCLIPEncoder
from vidsearch.models.mobileviclip.load import Network
from vidsearch.models.pixels import normalise_pixels

MODELS = ("mobileviclip-nano", "mobileviclip-tiny", "mobileviclip-small")
REFERENCE = "training form, float32"
BASELINE = "Apple's fold, float32"
GPU_CHOICE = "the same, from frames"
Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Result:
    """One form of one model: windows a second, and the lowest cosine with the training form over the clips."""

    model: str
    form: str
    windows_per_s: float
    cosine: float


def seeded(name: str) -> Network:
    """The clip tower of a model with weights drawn from one seed, every branch at work; no text encoder."""
    network = build(name)
    del network.text_encoder
    draw_weights(network)
    return network


def moving_waves(network: Network, count: int) -> Tensor:
    """(B, T, 3, side, side): smooth colours that move, normalised, each clip another."""
    side, frames = network.config.preprocessing.side_px, network.config.preprocessing.frames
    generator = torch.Generator().manual_seed(1)
    fx, fy, ft, phase = torch.rand(4, count, 1, 3, 1, 1, generator=generator)
    t, place = torch.arange(frames)[:, None, None, None], torch.linspace(0, 1, side)
    return 2 * torch.sin(12 * (fx * place[:, None] + fy * place) + 3 * ft * t + 6 * phase)


def forms_of(network: Network, clips: Tensor, threads: int, onnx: bool) -> dict[str, Encode]:
    """Name → the network in that form and layout, taking row-major float32 clips."""
    folded, fused = network.reparameterize(), network.fuse()
    forms = {
        REFERENCE: in_torch(network, torch.float32, channels_last=False),
        BASELINE: in_torch(folded, torch.float32, channels_last=False),
        "Apple's fold, bfloat16": in_torch(folded, torch.bfloat16, channels_last=False),
        "fused, float32": in_torch(fused, torch.float32, channels_last=False),
        "fused, float32, channels_last": in_torch(fused, torch.float32, channels_last=True),
        "fused, bfloat16": in_torch(fused, torch.bfloat16, channels_last=False),
        "fused, bfloat16, channels_last": in_torch(fused, torch.bfloat16, channels_last=True),
    }
    if onnx:
        forms["fused, float32, ONNX Runtime"] = in_onnx(fused, clips, threads)
    return forms


def in_torch(network: Network, dtype: torch.dtype, *, channels_last: bool) -> Encode:
    network = copy.deepcopy(network).to(dtype)
    if channels_last:
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def encode(clips: Tensor) -> Tensor:
        x = clips.to(dtype)
        if channels_last:
            x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        return network.encode_clips(x).float()

    return encode


class ClipTower(torch.nn.Module):
    """What is exported: normalised clips → vectors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        return self.network.encode_clips(clips).float()


def in_onnx(network: Network, clips: Tensor, threads: int) -> Encode:
    """The fused form through torch's exporter; prepacked, as a long run wants it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        path = Path(folder) / "clips.onnx"
        torch.onnx.export(ClipTower(network), (clips,), path, dynamo=True, input_names=["clips"], verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])


def gpu_forms(network: Network, clips: Tensor, device: str, *, compile_too: bool) -> dict[str, Encode]:
    """As `forms_of`, on a GPU."""
    folded, fused = network.reparameterize(), network.fuse()
    there = clips.to(device)

    def on_gpu(network: Network, dtype: torch.dtype, channels_last: bool) -> Encode:
        encode = in_torch(network.to(device), dtype, channels_last=channels_last)
        return lambda _: encode(there).cpu()

    with_kernels = copy.deepcopy(fused).to(device, torch.bfloat16)
    encoder = MobileCLIPEncoder.of_network(with_kernels)
    frames = pixels_of(clips, network)
    forms = {
        REFERENCE: on_gpu(network, torch.float32, channels_last=False),
        BASELINE: on_gpu(folded, torch.float32, channels_last=False),
        "fused, bfloat16, channels_last": on_gpu(copy.deepcopy(fused), torch.bfloat16, channels_last=True),
        "the same with kernels": lambda _: with_kernels.encode_clips(laid_out(there)).float().cpu(),
        GPU_CHOICE: lambda _: encoder.encode(torch.from_numpy(frames).to(device)).cpu(),
    }
    if compile_too:
        compiled = torch.compile(in_torch(copy.deepcopy(fused).to(device), torch.bfloat16, channels_last=True))
        started = time.perf_counter()
        compiled(there)
        print(f"torch.compile: ready after {time.perf_counter() - started:.0f} s")
        forms["fused, bfloat16, torch.compile"] = lambda _: compiled(there).cpu()
    return forms


def laid_out(clips: Tensor) -> Tensor:
    """(B, T, C, H, W) → bfloat16, the same shape over channels_last memory."""
    return clips.bfloat16().permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def pixels_of(clips: Tensor, network: Network) -> NDArray[np.uint8]:
    """Normalised (B, T, 3, H, W) → frames (B, T, H, W, 3), as near as 255 levels come."""
    preprocessing = network.config.preprocessing
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    levels = (clips.permute(0, 1, 3, 4, 2) * std + mean) * 255
    return levels.round().clamp(0, 255).to(torch.uint8).numpy()


def measure(name: str, arguments: argparse.Namespace) -> list[Result]:
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    network = seeded(name)
    clips = moving_waves(network, arguments.batch)
    if arguments.device == "cpu":
        forms = forms_of(network, clips, arguments.threads, arguments.onnx)
    else:
        frames = torch.from_numpy(pixels_of(clips, network))  # of 255 levels, so that all forms see the same
        preprocessing = network.config.preprocessing
        clips = normalise_pixels(frames, preprocessing.mean, preprocessing.std).contiguous()
        forms = gpu_forms(network, clips, arguments.device, compile_too=arguments.compile)
    expected = forms[REFERENCE](clips)
    vectors = {form: encode(clips) for form, encode in forms.items()}  # also the warm-up
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(arguments.rounds):
        for form, encode in forms.items():
            started = clock()
            encode(clips)
            best[form] = min(best[form], clock() - started)
    cosines = {form: float((got * expected).sum(1).min()) for form, got in vectors.items()}
    return [Result(name, form, len(clips) / best[form], cosines[form]) for form in forms]


def show(results: list[Result], default: str) -> None:
    baseline = next(result.windows_per_s for result in results if result.form == BASELINE)
    print(f"\n{results[0].model:34} windows/s   times Apple's fold   lowest cosine")
    for result in results:
        mark = "  <- the clip embedder's choice here" if result.form == default else ""
        ratio = result.windows_per_s / baseline
        print(f"  {result.form:32} {result.windows_per_s:9.2f} {ratio:20.2f} {result.cosine:15.6f}{mark}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Windows a second of the clip encoders, form by form.")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="on a GPU also torch.compile, which takes a minute")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=1, help="windows run together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--onnx", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cpu = torch.device("cpu")
    settings = {key: getattr(arguments, key) for key in ("device", "threads", "batch", "rounds", "clock")}
    here = machine()
    told = ", ".join(f"{key} {value}" for key, value in settings.items())
    print(f"{here['processor']}, {here['gpu'] or 'no GPU'}, {told}")
    results: list[Result] = []
    with torch.inference_mode():
        for name in arguments.models:
            found = measure(name, arguments)
            dtype = str(fast_dtype(cpu)).removeprefix("torch.")
            show(found, f"fused, {dtype}, channels_last" if arguments.device == "cpu" else GPU_CHOICE)
            results += found
    rows = [{"model": r.model, "form": r.form, "windows_per_s": r.windows_per_s, "cosine": r.cosine} for r in results]
    finish("encoders", **settings, results=rows)


if __name__ == "__main__":
    main()
