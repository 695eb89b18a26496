"""Images made worse, by nature or by an adversary, and what that does to a model's inside and its answers."""
