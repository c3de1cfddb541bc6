"""`embed-search setup`: what `make setup` does in a checkout, where there is none."""

import click

from infra.cli.failure import CommandFailed


@click.command("setup")
def setup_command() -> None:
    """Get what `up` needs beside Python packages: Kafka, the embedding model, and the machine code of the engines.

    Each is made once for each machine and kept in EMBED_SEARCH_CACHE_DIR; interrupted, the same command goes on.
    """
    try:
        from infra.setup.__main__ import main  # noqa: PLC0415 - its packages are an extra, and may be missing
    except ModuleNotFoundError as exc:
        raise CommandFailed(f"{exc.name} is not installed: install embed-search[setup]") from exc
    main()
