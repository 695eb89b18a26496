"""The figure studio's page."""
