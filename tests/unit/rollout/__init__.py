"""Which server when: batches, gates, the budget, and runs that are cut off."""
