"""The search methods as the API asks them: guarded, behind circuit breakers, counted and traced."""
