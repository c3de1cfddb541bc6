"""The dashboards: `python -m infra.grafana.pages` writes `infra/grafana/dashboards/*.json`, which nobody edits.

Lines that are drawn at a limit are where an alert of `infra/prometheus/rules` begins.
"""

from pathlib import Path
from typing import Final

from infra.grafana.panels import Dashboard, Panel, Series, grafana_json

DIRECTORY: Final = Path(__file__).with_name("dashboards")

_HERE: Final = 'instance=~"$instance"'

SEARCH: Final = Dashboard(
    "embed-search",
    "embed-search: searches",
    (
        (
            Panel(
                "Searches that failed",
                "percentunit",
                (
                    Series("embed_search:search_error_ratio:rate5m", "5 minutes"),
                    Series("embed_search:search_error_ratio:rate1h", "1 hour"),
                    Series("embed_search:search_error_ratio:rate3d", "3 days"),
                ),
                limit=0.001,
                explanation="Of those that clients waited for; the objective is 0.1 % in the long run.",
            ),
            Panel(
                "Time of searches",
                "s",
                (
                    Series("embed_search:search_duration_seconds:p99_5m", "p99"),
                    Series(
                        "histogram_quantile(0.5, sum by (le) (rate("
                        f'embed_search_http_duration_seconds_bucket{{route="/search", {_HERE}}}[5m])))',
                        "p50",
                    ),
                ),
                limit=1.0,
            ),
        ),
        (
            Panel(
                "Requests",
                "reqps",
                (
                    Series(
                        f"sum by (route, status) (rate(embed_search_http_requests_total{{{_HERE}}}[5m]))",
                        "{{route}} {{status}}",
                    ),
                ),
            ),
            Panel(
                "Refused",
                "reqps",
                (Series(f"sum by (shortage) (rate(embed_search_refusals_total{{{_HERE}}}[5m]))", "{{shortage}}"),),
            ),
            Panel(
                "Turns",
                "short",
                (Series(f"sum by (instance) (embed_search_search_turns{{{_HERE}}})", "{{instance}}"),),
                explanation="Searches that may run at a time; few while the processor is short.",
            ),
        ),
        (
            Panel(
                "Methods: p99", "s", (Series("embed_search:method_duration_seconds:p99_5m", "{{method}}"),), limit=1.0
            ),
            Panel(
                "Methods: failures",
                "reqps",
                (
                    Series(
                        f"sum by (method, kind) (rate(embed_search_errors_total{{{_HERE}}}[5m]))", "{{method}} {{kind}}"
                    ),
                ),
            ),
            Panel(
                "Circuit breakers",
                "short",
                (Series(f"max by (method) (embed_search_breaker_state{{{_HERE}}})", "{{method}}"),),
                limit=2,
                explanation="0 closed, 1 half-open, 2 open; the worst of all workers.",
            ),
        ),
        (
            Panel(
                "Query embeddings",
                "s",
                (
                    Series(
                        "histogram_quantile(0.99, sum by (le) (rate("
                        f"embed_search_embedding_duration_seconds_bucket{{{_HERE}}}[5m])))",
                        "p99",
                    ),
                ),
            ),
            Panel(
                "Answered by the cache",
                "percentunit",
                (
                    Series(
                        f"sum by (cache) (rate(embed_search_cache_hits_total{{{_HERE}}}[5m])) / (sum by (cache) (rate("
                        f"embed_search_cache_hits_total{{{_HERE}}}[5m])) + sum by (cache) (rate("
                        f"embed_search_cache_misses_total{{{_HERE}}}[5m])))",
                        "{{cache}}",
                    ),
                ),
            ),
            Panel(
                "Connections to PostgreSQL",
                "short",
                (Series(f"sum by (state) (embed_search_pool_connections{{{_HERE}}})", "{{state}}"),),
            ),
        ),
    ),
)

INDEXING: Final = Dashboard(
    "embed-search-indexing",
    "embed-search: indexing and resources",
    (
        (
            Panel(
                "Offsets left to read",
                "short",
                (Series(f"embed_search:index_lag_messages:sum{{{_HERE}}}", "{{index}} {{instance}}"),),
            ),
            Panel(
                "Age of what was read last",
                "s",
                (Series(f"max by (index) (embed_search_index_lag_seconds{{{_HERE}}})", "{{index}}"),),
                explanation="Grows while nobody publishes.",
            ),
        ),
        (
            Panel(
                "Work of the indexers",
                "ops",
                (
                    Series(
                        f"sum by (index, operation) (rate(embed_search_index_operations_total{{{_HERE}}}[5m]))",
                        "{{index}} {{operation}}",
                    ),
                ),
            ),
            Panel(
                "Dead letters",
                "short",
                (
                    Series(
                        f"sum by (index, error) (increase(embed_search_dead_letters_total{{{_HERE}}}[15m]))",
                        "{{index}} {{error}}",
                    ),
                ),
            ),
            Panel(
                "Failures and pauses",
                "short",
                (
                    Series(
                        f"sum by (index) (increase(embed_search_index_failures_total{{{_HERE}}}[15m]))",
                        "{{index}} failed",
                    ),
                    Series(
                        f"sum by (index) (increase(embed_search_index_pauses_total{{{_HERE}}}[15m]))",
                        "{{index}} paused",
                    ),
                    Series(
                        f"sum by (index) (increase(embed_search_index_rebuilds_total{{{_HERE}}}[15m]))",
                        "{{index}} set aside",
                    ),
                    Series(f"max by (index) (embed_search_index_halted{{{_HERE}}})", "{{index}} stopped reading"),
                ),
            ),
        ),
        (
            Panel(
                "Documents",
                "short",
                (Series(f"max by (index) (embed_search_index_documents{{{_HERE}}})", "{{index}}"),),
            ),
            Panel(
                "Age of generations",
                "s",
                (
                    Series(
                        f"time() - min by (index) (embed_search_index_generation_timestamp_seconds{{{_HERE}}})",
                        "{{index}}",
                    ),
                ),
                limit=90 * 86_400,
            ),
            Panel(
                "Starts of processes",
                "short",
                (
                    Series(
                        f"sum by (part) (changes(embed_search_started_timestamp_seconds{{{_HERE}}}[15m]))", "{{part}}"
                    ),
                ),
                limit=3,
            ),
        ),
        (
            Panel(
                "Rebuilds: offsets",
                "short",
                (
                    Series(f"max by (index) (embed_search_rebuild_read_messages{{{_HERE}}})", "{{index}} read"),
                    Series(f"max by (index) (embed_search_rebuild_left_messages{{{_HERE}}})", "{{index}} left"),
                ),
            ),
            Panel(
                "Rebuilds: time left",
                "s",
                (Series(f"max by (index) (embed_search_rebuild_seconds_left{{{_HERE}}})", "{{index}}"),),
                explanation="While it replays; the gate comes after that.",
            ),
            Panel(
                "Rebuilds: rate",
                "wps",
                (Series(f"max by (index) (embed_search_rebuild_messages_per_second{{{_HERE}}})", "{{index}}"),),
                explanation="Offsets a second; EMBED_SEARCH_REBUILD_SHARE says how much of its time it may work.",
            ),
            Panel(
                "Generations and steps",
                "short",
                (
                    Series(f"max by (index, phase) (embed_search_generations{{{_HERE}}}) > 0", "{{index}} {{phase}}"),
                    Series(f"max by (index, step) (embed_search_rebuild_step{{{_HERE}}})", "{{index}} at {{step}}"),
                ),
            ),
        ),
        (
            Panel(
                "Memory, of its limit",
                "percentunit",
                (Series(f"embed_search_memory_used_ratio{{{_HERE}}}", "{{instance}}"),),
                limit=0.7,
                explanation="Anonymous memory: caches are given up at 70 %, work is refused at 85 %.",
            ),
            Panel(
                "Resident memory",
                "bytes",
                (Series(f"embed_search_memory_rss_bytes{{{_HERE}}}", "{{instance}}"),),
                explanation="Mapped index files included, which the kernel takes back.",
            ),
            Panel("Open files", "short", (Series(f"embed_search_open_files{{{_HERE}}}", "{{instance}}"),)),
            Panel(
                "Free disk",
                "percentunit",
                (
                    Series(
                        f"embed_search_disk_free_bytes{{{_HERE}}} / embed_search_disk_size_bytes{{{_HERE}}}",
                        "{{instance}}",
                    ),
                ),
                limit=0.1,
            ),
        ),
    ),
)

DASHBOARDS: Final = (SEARCH, INDEXING)


def main() -> None:
    """Write the files."""
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.uid}.json").write_bytes(grafana_json(dashboard))


if __name__ == "__main__":
    main()
