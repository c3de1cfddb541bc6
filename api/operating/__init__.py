"""What operators do over HTTP: look at indexes and swap them, order rebuilds and verifications, see to dead letters."""
