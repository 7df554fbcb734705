"""MobileCLIP and MobileViCLIP: image, video and text encoders."""
