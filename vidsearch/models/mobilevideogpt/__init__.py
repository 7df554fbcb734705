"""Mobile-VideoGPT (arXiv 2503.21782): CLIP's image tower, VideoMamba and Qwen2 joined to a video language model."""
