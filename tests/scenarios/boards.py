"""What test_13_boards.py applies on simulated servers; docs/generate.py marks it on the page of GPUs."""

# PCI id of the GPU, driver branch: the kernel module that must be loaded afterwards, or "refused".
APPLIED = {
    ("10de:1eb8", "580"): "open",
    ("10de:1eb8", "595"): "open",
    ("10de:2330", "580"): "open",
    ("10de:2901", "580"): "open",
    ("10de:1db4", "580"): "proprietary",
    ("10de:1db4", "595"): "refused",
    ("10de:20f1", "580"): "open",
}
