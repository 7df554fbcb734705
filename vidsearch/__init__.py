"""Search a folder of videos by meaning."""

__version__ = "0.1.0"
