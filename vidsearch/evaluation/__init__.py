"""Retrieval and classification measures of the papers."""
