"""What scenarios apply on simulated servers, T4 in most, the others in test_13_boards.py; the page of GPUs marks it."""

# PCI id of the GPU, driver branch: the kernel module that must be loaded afterwards, or "refused".
APPLIED = {
    ("10de:1eb8", "580"): "open",
    ("10de:2330", "580"): "open",
    ("10de:2901", "580"): "open",
    ("10de:1db4", "580"): "proprietary",
    ("10de:1db4", "595"): "refused",
    ("10de:20b2", "580"): "open",
    ("10de:20f1", "580"): "open",
}
