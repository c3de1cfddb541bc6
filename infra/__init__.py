"""What runs the system: command line, local services, set-up, evaluation."""
