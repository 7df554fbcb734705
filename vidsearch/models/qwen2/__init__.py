"""Qwen2 (arXiv 2407.10671): a decoder-only language model, its key/value cache, and how it is decoded."""
