"""The API key that this machine's clients of the API send."""

import os
from typing import Final

KEY_VARIABLE: Final = "EMBED_SEARCH_API_KEY"


def key_header() -> dict[str, str]:
    """The header that carries the key; empty when there is none."""
    key = os.environ.get(KEY_VARIABLE, "")
    return {"authorization": f"Bearer {key}"} if key else {}
