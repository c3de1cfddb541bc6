"""The whole system under a constant load for a long time: what a release has to hold before it serves anybody."""
