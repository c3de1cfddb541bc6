"""How much of its time an indexer may work, so that searches keep the processor and the disk."""


class Throttle:
    """Has an indexer rest behind each batch.

    Args:
        share: of its time that it may work, above 0, 1 at most.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.share = share

    def rest_after(self, worked: float) -> float:
        """How long to rest.

        Args:
            worked: seconds that the batch took.

        Returns:
            seconds.
        """
        return worked * (1 / self.share - 1)

    def loosen(self) -> None:
        """Let it work twice as much, or all of the time."""
        self.share = min(1.0, 2 * self.share)
