"""Where numba looks for the machine code of a kernel: in the directory of all of them, also where nobody may write.

Numba itself takes a directory that it cannot write to for none at all, and refuses to run. In a container the code of
the engines is part of an image whose files are read-only, and nothing is left to write there.
"""

from pathlib import Path

from numba import config
from numba.core.caching import UserProvidedCacheLocator

from indexer.kernel_cache import COMPLETE


class KernelLocator(UserProvidedCacheLocator):
    """Finds machine code that set-up has left."""

    def ensure_cache_path(self) -> None:
        """See to it that the code of a kernel can be kept, unless all of it is there.

        That of another checkout may be there instead, copied together with its sources.

        Raises:
            OSError: it is not there, and cannot be kept.
        """
        complete = Path(config.CACHE_DIR, COMPLETE)  # type: ignore[attr-defined] # set before any kernel is declared
        ours = Path(self.get_cache_path())  # type: ignore[no-untyped-call] # numba ships no type information
        if not (complete.exists() and ours.is_dir()):
            super().ensure_cache_path()  # type: ignore[no-untyped-call] # as above
