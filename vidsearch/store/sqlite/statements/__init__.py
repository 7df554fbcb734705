"""All SQL of the SQLite library but the schema's, by subject. Each function runs in its caller's transaction."""
