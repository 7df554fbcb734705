"""Where vidsearch keeps its files: one library folder, one folder of installed models, and a cache."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "VIDSEARCH_HOME"
MODELS_VARIABLE = "VIDSEARCH_MODEL_DIR"


def home_dir() -> Path:
    """The library's folder: `VIDSEARCH_HOME`, else the platform's place for application data."""
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs  # late: most commands on a configured machine never need it

    return Path(platformdirs.user_data_dir("vidsearch", appauthor=False))


def models_dir() -> Path:
    """The folder of installed models: `VIDSEARCH_MODEL_DIR`, else `models` in the library's folder."""
    given = os.environ.get(MODELS_VARIABLE)
    return Path(given).expanduser().absolute() if given else home_dir() / "models"


def cache_dir() -> Path:
    """What can be made again: `cache` in `VIDSEARCH_HOME`, else the platform's place for caches."""
    if os.environ.get(HOME_VARIABLE):
        return home_dir() / "cache"
    import platformdirs  # late, as above

    return Path(platformdirs.user_cache_dir("vidsearch", appauthor=False))
