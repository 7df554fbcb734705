"""Frames or words to unit vectors: device, batches, dtype."""
