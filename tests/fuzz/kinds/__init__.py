"""One module a kind of damaged input."""
