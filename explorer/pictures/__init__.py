"""Pictures on their way to a model: bytes, pixels, what a model sees; where they come from, and their labels."""
