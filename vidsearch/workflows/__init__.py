"""One verb a file, told like the flow."""
