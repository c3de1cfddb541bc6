"""The whole system on one machine: which programs run, in which order, with which settings."""
