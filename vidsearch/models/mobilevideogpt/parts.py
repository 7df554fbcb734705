"""The parts of Mobile-VideoGPT under one roof: what a program outside the package builds and checks them by."""

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.frame_sampling import sample_frames
from vidsearch.models.mobilevideogpt.frame_selection import regroup, score_frames, select_frames
from vidsearch.models.mobilevideogpt.pixels import preprocess_image, preprocess_video
from vidsearch.models.mobilevideogpt.projector import TokenProjector
from vidsearch.models.qwen2.decoder import LanguageModel
from vidsearch.models.videomamba.mamba_mixer import MambaMixer, selective_scan
from vidsearch.models.videomamba.video_mamba import VideoMamba

__all__ = [
    "ClipImageTower",
    "LanguageModel",
    "MambaMixer",
    "TokenProjector",
    "VideoMamba",
    "preprocess_image",
    "preprocess_video",
    "regroup",
    "sample_frames",
    "score_frames",
    "select_frames",
    "selective_scan",
]
