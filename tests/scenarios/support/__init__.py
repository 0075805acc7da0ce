"""What the stories share and is no test: servers and fleets, callers, faults, tables of what is applied, results."""
