"""A pair trained in minutes on a borrowed GPU: the data there in loads, the weights back in parts.

README.md beside this says what is done in which minute. Training itself is `explorer.training`'s, step for step.
"""
