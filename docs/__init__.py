"""Scripts beside the documents; a package so that `python -m docs.gpu` finds its modules."""
