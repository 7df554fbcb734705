"""Mobile-VideoGPT (arXiv 2503.21782): a small video language model, one file for each part of the paper's figure 2."""
