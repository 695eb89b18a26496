"""What is measured of attention, tokens and answers: tensors in, results out, and no model in sight."""
