"""Maps of what speaks for a class, and how far to trust them."""
