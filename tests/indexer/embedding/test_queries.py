from indexer.deadline import Deadline
from indexer.embedding import EmbedderProcess, QueryEmbeddings


class Counts:
    """Counts what a cache says of itself."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.embedded_queries = 0

    def cache_hit(self, cache: str) -> None:
        """The cache had it."""
        assert cache == "query_embeddings"
        self.hits += 1

    def cache_missed(self, cache: str) -> None:
        """The cache did not have it."""
        assert cache == "query_embeddings"
        self.misses += 1

    def embedded(self, seconds: float) -> None:
        """It was embedded."""
        assert seconds > 0
        self.embedded_queries += 1


async def test_a_repeated_query_is_not_embedded_again(embedder: EmbedderProcess) -> None:
    """The second time it comes from the cache, which counts both."""
    counts = Counts()
    queries = QueryEmbeddings(embedder, counts)
    first, _ = await queries.vector("circuit breaker", Deadline.after(30))
    await embedder.close()  # whoever asks the embedder now is refused
    again, _ = await queries.vector("circuit breaker", Deadline.after(30))
    assert again is first
    assert (counts.hits, counts.misses) == (1, 1)


async def test_the_cache_is_bounded_and_forgets_the_least_recent(embedder: EmbedderProcess) -> None:
    """Used again, a query stays; the one longest unused goes."""
    counts = Counts()
    queries = QueryEmbeddings(embedder, counts, capacity=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await queries.vector(text, Deadline.after(30))
    assert (counts.hits, counts.misses) == (2, 4)


async def test_a_cleared_cache_embeds_again(embedder: EmbedderProcess) -> None:
    """After clearing nothing is known."""
    counts = Counts()
    queries = QueryEmbeddings(embedder, counts)
    await queries.vector("a", Deadline.after(30))
    queries.clear()
    await queries.vector("a", Deadline.after(30))
    assert counts.embedded_queries == 2
