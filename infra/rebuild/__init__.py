"""A rebuild from start to end: replay into a new generation, the gate that it must pass, and the swap.

The stores' side of it is `indexer.rebuild`.
"""
