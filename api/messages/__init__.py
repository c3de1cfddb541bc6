"""What goes over HTTP, field by field: requests, answers, and errors as problem details."""
