"""Disks that fill up, fail, or lose what was not synced, for code under test that does not know it."""
