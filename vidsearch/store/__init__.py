"""Facts and vectors on disk: SQLite is the truth, the HNSW index a cache."""
