"""VideoMamba (arXiv 2403.06977): a video encoder of bidirectional Mamba blocks (arXiv 2312.00752)."""
