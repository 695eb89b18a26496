"""Attacks on labelled images, a folder or the server's."""
