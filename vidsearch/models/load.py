"""A model's name → its network."""

from __future__ import annotations

from vidsearch.errors import ModelError
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig, MobileViCLIPConfig
from vidsearch.models.mobileviclip.model import MobileCLIP, MobileViCLIP

Network = MobileCLIP | MobileViCLIP


def build(name: str) -> Network:
    """The network of that name with fresh weights, in its training form and in eval mode.

    Raises ModelError for a name that is not in `CONFIGS`.
    """
    config = CONFIGS.get(name)
    if config is None:
        raise ModelError(f"No model is called {name!r}; choose one of {', '.join(sorted(CONFIGS))}.")
    return build_from(config)


def build_from(config: MobileCLIPConfig | MobileViCLIPConfig) -> Network:
    """The network of a config, as `build`: for sizes of one's own."""
    network = MobileViCLIP(config) if isinstance(config, MobileViCLIPConfig) else MobileCLIP(config)
    return network.eval()
