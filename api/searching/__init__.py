"""One search from what was asked to what is answered: plan, ask, fuse, fetch, show."""
