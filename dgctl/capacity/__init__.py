"""How full a deployment is, when it will be, and what one server more or less changes: from kept benches and Prometheus."""
