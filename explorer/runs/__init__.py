"""Work over whole folders that goes on where it was stopped, and what it leaves: files of results."""
