"""The networks, their configurations and their weights."""
