"""MIG switched off: slices first, then the mode, a reset where the GPU needs one, and everything as it was around it."""

import nvidia_mig
import pytest
from ansible.module_utils.nvidia import cdi_refresh, driver_reload, gpu_clients

BUS = "00000000:3B:00.0"


class Card:
    """A GPU with MIG on, of a generation that needs a reset (Ampere) or not."""

    def __init__(self, monkeypatch, tmp_path, on=True, resets=False, reset_works=True, others=()):
        self.on, self.pending, self.resets, self.reset_works, self.log = on, on, resets, reset_works, []
        self.refuses = ""
        for module in (nvidia_mig, cdi_refresh):
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(nvidia_mig, "smi_gpus", self.smi)
        monkeypatch.setattr(
            gpu_clients, "clients", lambda: {"docker": ["c1"], "units": ["engine.service"], "others": list(others)}
        )
        monkeypatch.setattr(gpu_clients, "active", lambda units: [u for u in units if "persistenced" in u])
        monkeypatch.setattr(gpu_clients, "existing", lambda engine, names: names)
        for name in ("pending", "remember", "resume"):
            monkeypatch.setattr(getattr(driver_reload, name), "__defaults__", (str(tmp_path / "stopped"),))
        for verb in ("stop", "start"):
            monkeypatch.setattr(gpu_clients, verb, lambda *names, verb=verb: self.log.append(verb) or "")

    def smi(self):
        return [{"pci.bus_id": BUS, "mig.mode.current": "Enabled" if self.on else "Disabled"}], ""

    def run(self, argv, timeout=0):
        self.log.append(" ".join(argv))
        if self.refuses and self.refuses in self.log[-1]:
            return 1, "", f"{self.refuses}: Insufficient Permissions"
        if argv[-2:] == ["-mig", "0"]:
            self.pending = False
            self.on = self.resets
        if "--gpu-reset" in argv:
            if not self.reset_works:
                return 3, "", "GPU is in use"
            self.on = self.pending
        return 0, "", ""


def test_off_already(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path, on=False)
    assert not call("nvidia_mig")["changed"] and card.log == []


def test_check_mode_touches_nothing(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path)
    assert call("nvidia_mig", check=True)["changed"] and card.log == []


@pytest.mark.parametrize("resets", [False, True])
def test_is_switched_off_between_stop_and_start(call, monkeypatch, tmp_path, resets):
    card = Card(monkeypatch, tmp_path, resets=resets)
    result = call("nvidia_mig")
    assert result["changed"] and result["were_on"] == [BUS] and result["reboot_needed"] == "" and not card.on
    assert card.log[0] == "stop" and card.log[-1] == "start"
    assert card.log.index(f"nvidia-smi mig -dgi -i {BUS}") < card.log.index(f"nvidia-smi -i {BUS} -mig 0")
    assert (f"nvidia-smi --gpu-reset -i {BUS}" in card.log) is resets
    assert card.log.index("systemctl restart nvidia-cdi-refresh.service") == len(card.log) - 2


def test_gpu_that_cannot_be_reset_needs_a_reboot(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path, resets=True, reset_works=False)
    result = call("nvidia_mig")
    assert "in use" in result["reboot_needed"] and BUS in result["reboot_needed"] and card.log[-1] == "start"


def test_program_of_nobody_is_not_killed(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path, others=["python (pid 7)"])
    assert "python (pid 7)" in call("nvidia_mig")["msg"] and card.log == []


def test_gpu_that_keeps_mig(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path)
    monkeypatch.setattr(nvidia_mig, "run", lambda argv, timeout=0: (0, "", ""))
    monkeypatch.setattr(nvidia_mig, "reset", lambda buses: "")
    assert "stays on" in call("nvidia_mig")["msg"] and card.on


def test_a_mode_that_cannot_be_switched_off_is_a_failure(call, monkeypatch, tmp_path):
    """Without the word at once the GPU would be reset, and a reboot asked for that changes nothing."""
    card = Card(monkeypatch, tmp_path, resets=True)
    card.refuses = "-mig 0"
    result = call("nvidia_mig")
    assert (
        result["failed"] and f"MIG cannot be switched off on {BUS}: -mig 0: Insufficient Permissions" in result["msg"]
    )
    assert not any("--gpu-reset" in line for line in card.log)


def test_slices_that_are_not_there_are_no_failure(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path)
    card.refuses = "nvidia-smi mig"
    assert call("nvidia_mig")["reboot_needed"] == "" and not card.on


def test_a_driver_that_does_not_answer_is_a_failure(call, monkeypatch, tmp_path):
    Card(monkeypatch, tmp_path)
    monkeypatch.setattr(nvidia_mig, "smi_gpus", lambda: ([], "Driver/library version mismatch"))
    assert "nvidia-smi does not answer: Driver/library version mismatch" in call("nvidia_mig")["msg"]


def test_what_holds_the_gpu_and_does_not_stop_leaves_mig_to_a_reboot(call, monkeypatch, tmp_path):
    card = Card(monkeypatch, tmp_path)
    monkeypatch.setattr(gpu_clients, "stop", lambda who: "engine.service does not stop")
    result = call("nvidia_mig")
    assert "engine.service does not stop" in result["reboot_needed"] and BUS in result["reboot_needed"]
    assert card.on and card.log == ["start"]


def test_what_does_not_start_again_is_a_failure(call, monkeypatch, tmp_path):
    Card(monkeypatch, tmp_path)
    monkeypatch.setattr(gpu_clients, "start", lambda who: "engine.service: failed")
    assert "what used the GPU does not start: engine.service: failed" in call("nvidia_mig")["msg"]
