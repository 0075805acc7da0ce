"""Which server when: batches, gates, budget."""
