"""Proves indexes right, or says what is wrong with them."""
