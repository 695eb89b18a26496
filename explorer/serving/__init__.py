"""Serving: one engine per process, shared by every visitor."""
