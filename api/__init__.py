"""One question in, one fused answer out: the HTTP API over the four indexes, and the way documents get in by HTTP."""
