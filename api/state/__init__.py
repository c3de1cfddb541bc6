"""The state of the system at one moment: what `/health`, `/metrics` and `/admin` tell."""
