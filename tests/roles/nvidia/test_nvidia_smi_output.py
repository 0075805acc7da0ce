"""What nvidia-smi says of the GPUs."""

from ansible.module_utils.nvidia import host as nvidia_host


def test_smi_output(program):
    program("nvidia-smi", "echo 'Tesla T4, GPU-1, 00000000:3B:00.0, 580.173.02, 15360, Enabled, [N/A]'\n")
    (card,), error = nvidia_host.smi_gpus()
    assert (card["name"], card["driver_version"], card["memory.total"], error) == (
        "Tesla T4",
        "580.173.02",
        "15360",
        "",
    )
    program("nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    assert nvidia_host.smi_gpus() == ([], "Failed to initialize NVML: Driver/library version mismatch")
