"""Moments cut into files, and handed on to editing programs as timelines."""
