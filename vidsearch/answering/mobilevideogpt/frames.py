"""A range of a video file → the pixels of its frames, as both encoders of the network want them.

The file is opened and decoded in a process of its own, as in indexing: a decoder that hangs or crashes takes nothing
with it. Frames come in their own size, one at a time, and leave as two small squares, so that memory does not grow with
the video: neither with its length nor with the number of its frames.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.answering.interface import Coverage, TimeRange
from vidsearch.answering.mobilevideogpt.frame_choice import choose_frames, outside
from vidsearch.answering.mobilevideogpt.picture_folder import PictureFolder, open_pictures
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.device_pixels import preprocess_on
from vidsearch.models.mobilevideogpt.pixels import pad_frames, preprocess_image, preprocess_video
from vidsearch.records import FrameSpec, VideoFacts, WindowSpec
from vidsearch.video.discover import file_at
from vidsearch.video.pool import DecodeFailed, DecodePool, VideoDone, VideoOpened, WindowDecoded

_CPU = torch.device("cpu")
_AS_IS = FrameSpec(side_px=1, fit="as-is")


@dataclass(frozen=True, slots=True)
class MomentPixels:
    """What was looked at: [start_s, end_s), the time of each frame, and the pixels in both preprocessings.

    `image` and `video` are (F, 3, S, S) float32, frames of zeros after the last one of a short clip.
    """

    facts: VideoFacts | None  # None: a folder of pictures
    start_s: float
    end_s: float
    times_s: tuple[float, ...]
    image: Tensor
    video: Tensor


def open_decoder() -> DecodePool:
    """A decoding process for `read_moment`; starts when it is needed, or when it is told to."""
    return DecodePool(1, _AS_IS, WindowSpec(), buffered_events=1)


def read_moment(
    path: Path,
    wanted: TimeRange,
    coverage: Coverage,
    config: MobileVideoGPTConfig,
    device: torch.device = _CPU,
    decoder: DecodePool | None = None,
) -> MomentPixels:
    """Decode and preprocess the frames to look at; the pixels are on `device`. `decoder` is kept; None: one for this.

    A folder of pictures is a clip, too (`picture_folder.py`). Raises VideoError if the file cannot be read,
    VidsearchError for a range that the clip does not have.
    """
    pixels = _Pixels(config, device)
    if path.is_dir():
        return _pixels_of_pictures(open_pictures(path, wanted), pixels)
    facts: VideoFacts | None = None
    times: list[float] = []
    span = (0.0, 0.0)
    with nullcontext(decoder) if decoder else open_decoder() as pool:
        for event in pool.decode([file_at(path)], partial(choose_frames, wanted, coverage)):
            match event:
                case VideoOpened(_, opened, 0):
                    raise outside(wanted, opened, path)
                case WindowDecoded(_, clip):
                    span = (clip.window.start_s, clip.window.end_s)
                    times.extend(clip.window.times_s)
                    pixels.add(clip.frames[0])
                case VideoDone(_, done):
                    facts = done
                case DecodeFailed(_, error):
                    raise error
    assert facts is not None  # the pool ends every file with VideoDone or DecodeFailed
    return MomentPixels(facts, *span, tuple(times), *pixels.padded())


def _pixels_of_pictures(folder: PictureFolder, pixels: _Pixels) -> MomentPixels:
    for frame in folder.frames():
        pixels.add(frame)
    return MomentPixels(None, folder.start_s, folder.end_s, folder.times_s, *pixels.padded())


class _Pixels:
    """The two squares of every frame so far."""

    def __init__(self, config: MobileVideoGPTConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._image: list[Tensor] = []
        self._video: list[Tensor] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        sides_px = self._config.image_tower.image_size, self._config.video_encoder.img_size
        if self._device.type == "cpu":
            image, video = preprocess_image([frame], sides_px[0]), preprocess_video([frame], sides_px[1])
        else:
            image, video = preprocess_on(self._device, [frame], *sides_px)
        self._image.append(image)
        self._video.append(video)

    def padded(self) -> tuple[Tensor, Tensor]:
        image, video = torch.cat(self._image), torch.cat(self._video)
        return pad_frames(image, self._config.frames), pad_frames(video, self._config.frames)
