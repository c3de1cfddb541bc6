"""Reference pages that are generated from the code, so that they cannot say more or less than it does."""
