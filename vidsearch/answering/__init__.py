"""Frames and a question → text, piece by piece."""
