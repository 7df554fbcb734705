"""Parse, call one workflow, show."""
