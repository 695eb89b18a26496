"""The pages that ask what an answer rests on and what breaks it."""
