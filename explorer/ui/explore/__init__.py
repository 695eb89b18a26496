"""The pages that look inside: attention and its viewer."""
