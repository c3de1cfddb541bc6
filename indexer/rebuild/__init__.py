"""Rebuilds: a new generation beside the live one, fed from the start of the topic, put live, and taken back at will.

`phases` says what a generation is to the system, `catalogue` is the seam that local files and PostgreSQL implement,
`replay` fills a new generation, and `keeper` is the indexer's side: it feeds whichever generations are to be fed, and
removes those that nobody needs any more. What a new generation must prove before it goes live is `infra.rebuild`'s.
"""
