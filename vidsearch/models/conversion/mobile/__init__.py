"""Model folder → files for the runtimes of phones, each run and compared with torch before it is kept."""
