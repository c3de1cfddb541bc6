"""What long operations report: plain data, which the command line prints and the API answers alike."""
