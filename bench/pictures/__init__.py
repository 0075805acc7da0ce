"""The documents' pictures: what the dashboards ask, asked of a real Prometheus about a fleet that is simulated."""
