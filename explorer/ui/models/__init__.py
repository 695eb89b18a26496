"""The page where models are loaded, declared and put side by side."""
