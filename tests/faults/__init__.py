"""Long experiments: the real system under load while one of its parts is stopped, broken or attacked.

They take minutes each and are run by `make test-faults` alone; the ordinary suite has a short form of many of them.
"""
