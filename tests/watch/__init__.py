"""The watchdog of a node, part by part."""
