"""The start page: what it shows first, what it is sent, and its component, which needs neither torch nor models."""
