"""ConSE: an image classifier and a sentence encoder, joined by the names of the classes."""
