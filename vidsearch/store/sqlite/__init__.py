"""A library in one SQLite file, the truth, with HNSW files beside it, a cache."""
