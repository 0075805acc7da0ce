"""One file a verb, named like the verb."""
