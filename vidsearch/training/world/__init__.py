"""The synthetic world: meanings, the scenes that show them, their pictures and their captions. numpy alone."""
