"""Figures for print, drawn by matplotlib: results in, a figure of exact size out, the same bytes every time."""
