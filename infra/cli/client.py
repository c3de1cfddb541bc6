"""The running system as a client command sees it: its API over HTTP, and the broker that the API names."""

import os
from typing import Any, Final, Self

import httpx

from infra.cli.failure import CommandFailed
from infra.local.key import key_header

_TIMEOUT_SECONDS: Final = 30.0
_NOT_LET_IN: Final = (401, 403)


class ApiClient:
    """Calls the API and turns whatever goes wrong into one readable line.

    Args:
        url: where the API answers.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, timeout=_TIMEOUT_SECONDS, trust_env=False, headers=key_header())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.close()

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        """`POST /search`.

        Raises:
            CommandFailed: the API does not answer, or refuses.
        """
        return self._json("POST", "/search", json=request)

    def health(self) -> dict[str, Any]:
        """`GET /health`, also when it says that the system is unhealthy.

        Raises:
            CommandFailed: the API does not answer.
        """
        return self._json("GET", "/health", accept=(200, 503))

    def indexes(self) -> dict[str, Any] | None:
        """`GET /admin/indexes`: the generations of each; None for whoever may not look there.

        Raises:
            CommandFailed: the API does not answer.
        """
        answer = self._json("GET", "/admin/indexes", accept=(200, *_NOT_LET_IN))
        return answer.get("indexes")

    def stream(self) -> dict[str, Any]:
        """`GET /system`: the broker and topic to publish to; `KAFKA_BOOTSTRAP_SERVERS` goes first.

        Raises:
            CommandFailed: neither is known.
        """
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if given:
            topic = os.environ.get("EMBED_SEARCH_TOPIC", "documents")
            return {"bootstrap_servers": given, "topic": topic}
        return self.system()

    def system(self) -> dict[str, Any]:
        """`GET /system`: what runs there.

        Raises:
            CommandFailed: the API does not answer.
        """
        return self._json("GET", "/system")

    def _json(self, method: str, path: str, *, accept: tuple[int, ...] = (200,), **options: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own options
        try:
            response = self._http.request(method, path, **options)
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            raise CommandFailed(
                f"no system answers at {self._url} ({exc}); start one with `embed-search up`, or name one with --url"
            ) from exc
        if response.status_code not in accept:
            raise CommandFailed(_problem(response))
        answer: dict[str, Any] = response.json()
        return answer


def _problem(response: httpx.Response) -> str:
    """The detail of a problem document, else the status line."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        return f"{problem.get('title', response.reason_phrase)}: {problem.get('detail', '')}"
    return f"HTTP {response.status_code} {response.reason_phrase}"
