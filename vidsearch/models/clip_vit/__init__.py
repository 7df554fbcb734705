"""The image tower of CLIP (arXiv 2103.00020): a vision transformer."""
