"""Corruptions of the image that is shown and of those loaded."""
