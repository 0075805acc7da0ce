"""Simulated nvidia-smi of the dgctl lab: answers as the real one does, from what the simulated kernel says.

It sees the GPUs whose device nodes it can open, on a server and inside a container that was handed them by CDI.
Built into one file, /usr/bin/nvidia-smi, that CDI can hand to containers.
"""
