"""The port of an indexer: is it alive, is it ready, how is it, and what has it counted?"""
