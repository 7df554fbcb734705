"""Mobile-VideoGPT as an answerer."""
