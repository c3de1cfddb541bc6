"""The documentation: the site that it makes, and the commands that it shows."""
