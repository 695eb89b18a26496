"""Attacks on the image that is shown and on those loaded."""
