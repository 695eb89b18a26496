"""Twicing Explorer: what attention keeps and what it smooths away, in DeiT and DeiT-Twicing side by side."""

__version__ = "0.1.0"
