"""What is known about videos, kept on disk and searched: interface.py says what a library does, sqlite/ does it."""
