"""`python -m infra.cli`: the command without its installed script, as the supervisor starts its children."""

from infra.cli.main import main

if __name__ == "__main__":
    main()
