"""One module a verb: a plan in, a record out."""
