"""Results become records, and records figures: by plotly on the screen, by matplotlib in print.

Nothing here sees a model or rescales what it is given.
"""
