"""Files to frames: walking folders, cutting windows, reading frames at given times."""
