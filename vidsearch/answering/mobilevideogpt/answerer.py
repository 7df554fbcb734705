"""Mobile-VideoGPT as an answerer: a clip is encoded once, its keys and values are kept, words come as they are made.

Source: Mobile-VideoGPT (arXiv 2503.21782) and its released program; docs/ask.md lists what that program does again for
every question and this one does not.

Axes: F frames, V visual tokens, d the language model's width.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from vidsearch.answering.interface import Clip, ComputePrecision, EncodedClip
from vidsearch.answering.mobilevideogpt.frames import MomentPixels, open_decoder, read_moment
from vidsearch.answering.mobilevideogpt.lm_backend import DeviceBackend, LMBackend, open_lm_backend, without_cudnn
from vidsearch.answering.mobilevideogpt.picture_folder import fingerprint_of_pictures
from vidsearch.answering.mobilevideogpt.session import ChatModel, MobileVideoGPTSession
from vidsearch.answering.mobilevideogpt.tokenizer import ChatTokenizer, generation_rules
from vidsearch.answering.visual_cache import VisualCache, cache_key
from vidsearch.models.device import accelerators, named_device
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.models.mobilevideogpt.model import Encoder, MobileVideoGPT, encode_clip
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.pool import DecodePool


class MobileVideoGPTAnswerer:
    """An `Answerer` over a model folder's network."""

    def __init__(self, folder: ModelFolder, *, device: str, precision: ComputePrecision, cache: VisualCache) -> None:
        self.model = folder.name
        place = _device(device)
        self._decoder: DecodePool | None = None
        if place.type != "cpu":  # there is work for a core while the weights are sent
            self._decoder = open_decoder()
            weakref.finalize(self, self._decoder.close)
            self._decoder.start()
        self.network = load_language_model(folder)
        backend = open_lm_backend(folder, self.network, place, precision)
        tokenizer, rules = ChatTokenizer(folder), generation_rules(folder)
        self.chat = ChatModel(folder.name, self.network.lm_config, tokenizer, rules, backend, place)
        self.device = _description(place, backend)
        self._cache = cache
        # A training step may change neither end of the file, which is what the fingerprint reads; it does set the time.
        self._identity = (fingerprint(folder.weights), folder.weights.stat().st_mtime_ns, dict(folder.network))
        self._folder = folder
        self._prepared: Future[None] | None = None

    def encode(self, clip: Clip) -> MobileVideoGPTSession:
        """See `Answerer.encode`."""
        key = self._key(clip)
        kept = self._cache.get(key)
        if kept is not None:
            tokens, facts = kept
            encoded = _encoded_clip(clip, self.model, facts, from_cache=True)
            return MobileVideoGPTSession(self.chat, encoded, torch.from_numpy(tokens))
        prepared = self._prepare()
        config = self.network.config
        pixels = read_moment(clip.path, clip.range, clip.coverage, config, self.chat.device, self._decoder)
        prepared.result()
        visual, keyframes = self._visual_tokens(pixels)
        facts = _facts(pixels, keyframes)
        self._cache.put(key, visual.numpy(), facts)
        return MobileVideoGPTSession(self.chat, _encoded_clip(clip, self.model, facts, from_cache=False), visual)

    def unknown_words(self, question: str) -> list[str]:
        """See `Answerer.unknown_words`."""
        return self.chat.tokenizer.unknown(question)

    def _prepare(self) -> Future[None]:
        """Have an accelerator ready while the first clip is decoded: encoders sent, libraries and kernels loaded."""
        if self._prepared is None:
            self._prepared = Future()
            backend = self.chat.backend
            if isinstance(backend, DeviceBackend):
                executor = ThreadPoolExecutor(1, thread_name_prefix="prepare")
                self._prepared = executor.submit(self._run_once)
                backend.load_kernels(executor)
                executor.shutdown(wait=False)
            else:
                self._prepared.set_result(None)
        return self._prepared

    @torch.inference_mode()
    def _run_once(self) -> None:
        """Noise through the image tower and the language model; the video encoder is sent and needs no library more."""
        config, device, dtype = self.network.config, self.chat.device, self.chat.backend.dtype
        side = config.image_tower.image_size
        with without_cudnn(device):
            network = self._network_for("image")
            network.image_features(torch.rand(1, 3, side, side, device=device, dtype=dtype))
        self._network_for("video")
        tokens = config.frames * config.image_side**2 + config.frames // config.chunk * config.video_side**2
        visual = torch.rand(1, tokens, config.language_model.hidden_size, device=device, dtype=dtype)
        self.chat.backend.logits(visual, KeyValueCache(config.language_model.num_hidden_layers))

    def _key(self, clip: Clip) -> str:
        """The cache's name for what the encoders make of the clip; depends on all that they depend on."""
        where = (self.chat.device.type, str(self.chat.backend.dtype))
        content = fingerprint_of_pictures(clip.path) if clip.path.is_dir() else fingerprint(clip.path)
        return cache_key(content, asdict(clip.range), clip.coverage, self._identity, *where)

    @torch.inference_mode()
    def _visual_tokens(self, pixels: MomentPixels) -> tuple[Tensor, list[int]]:
        """→ (V, d) float16 on the CPU, and the numbers of the keyframes.

        float16 is what the cache holds; an answer is made from it the first time, too, so that both are the same.
        """
        image, video = (x.to(self.chat.device, self.chat.backend.dtype) for x in (pixels.image, pixels.video))
        with without_cudnn(self.chat.device):
            visual, keyframes = encode_clip(self._network_for, image, video)
        return visual[0].to("cpu", torch.float16), keyframes.tolist()

    def _network_for(self, encoder: Encoder) -> MobileVideoGPT:
        """The network with one encoder ready to run.

        On a CPU each is mapped from the file for each clip, in a tenth of a second, and let go of: it leaves its memory
        to the other encoder and to the answer, and a clip that is cached needs neither. An accelerator keeps both: it
        has the memory, and sending them takes longer than running them.
        """
        network = self.network if self.chat.backend.keeps_network else load_language_model(self._folder)
        inner = network.model
        motion = (inner.vision_tower, inner.mm_projector, inner.image_mm_projector)
        for part in (network.image_tower,) if encoder == "image" else motion:
            part.to(self.chat.device, self.chat.backend.dtype)
        return network


def _facts(pixels: MomentPixels, keyframes: list[int]) -> dict[str, Any]:
    """What the cache keeps beside the tokens; frames of padding have no time and are left out."""
    times = pixels.times_s
    return {
        "start_s": pixels.start_s,
        "end_s": pixels.end_s,
        "times_s": times,
        "keyframes_s": [times[number] for number in keyframes if number < len(times)],
        "damage": pixels.facts and pixels.facts.damage,
    }


def _encoded_clip(clip: Clip, model: str, facts: dict[str, Any], *, from_cache: bool) -> EncodedClip:
    return EncodedClip(
        path=clip.path,
        start_s=facts["start_s"],
        end_s=facts["end_s"],
        times_s=tuple(facts["times_s"]),
        keyframes_s=tuple(facts["keyframes_s"]),
        model=model,
        from_cache=from_cache,
        damage=facts["damage"],
    )


def _device(name: str) -> torch.device:
    """The device of that name; for "auto" the fastest there is."""
    return named_device(next(iter(accelerators()), "cpu") if name == "auto" else name)


def _description(device: torch.device, backend: LMBackend) -> str:
    threads = torch.get_num_threads()
    more = f", {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    return f"{device} ({backend.weights}{more})"
