"""Results -> figures. Nothing here sees a model or rescales what it is given."""
