"""Figures for the screen, drawn by plotly: results or records in, a figure out."""
