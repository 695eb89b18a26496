"""The page of the figure studio: settings, a preview, files to keep."""
