"""Training a standard and a twicing model side by side, and evaluating checkpoints. Imported on use only."""
