"""What stands around every page: the models, the visitor's images and choices, the sidebar."""
