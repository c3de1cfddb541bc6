"""Documents to publish: from files and folders, and a sample that needs none."""
