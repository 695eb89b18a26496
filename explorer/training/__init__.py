"""Training models that differ in their operator alone, for hours, on equal batches. Imported on use only."""
