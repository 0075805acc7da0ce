"""The stand-in nvidia-ctk: a CDI document that parses, and daemon.json handled as the real one does."""

import argparse
import json

import pytest
import yaml

from tests.lab.programs import load


@pytest.fixture
def ctk(monkeypatch):
    module = load("nvidia/files/toolkit/nvidia-ctk")
    monkeypatch.setattr(module, "gpus", lambda: [("0", "GPU-aaa"), ("1", "GPU-bbb")])
    return module


def test_every_gpu_has_its_names_and_all_has_every_gpu(ctk, tmp_path):
    target = tmp_path / "cdi/nvidia.yaml"
    ctk.cdi_generate(argparse.Namespace(output=str(target)))
    document = yaml.safe_load(target.read_text())
    assert document["kind"] == "nvidia.com/gpu"
    nodes = {
        device["name"]: [node["path"] for node in device["containerEdits"]["deviceNodes"]]
        for device in document["devices"]
    }
    assert nodes == {
        "0": ["/dev/nvidia0"],
        "1": ["/dev/nvidia1"],
        "GPU-aaa": ["/dev/nvidia0"],
        "GPU-bbb": ["/dev/nvidia1"],
        "all": ["/dev/nvidia0", "/dev/nvidia1"],
    }
    assert document["containerEdits"]["mounts"][-1]["options"] == ["ro", "nosuid", "nodev", "rbind", "rprivate"]


@pytest.mark.parametrize(("flags", "version"), [("", "0.7.0"), ("no-additional-gids-for-device-nodes", "0.5.0")])
def test_the_version_older_engines_read_comes_by_flag(ctk, monkeypatch, flags, version):
    monkeypatch.setenv("NVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS", flags)
    assert ctk.specification()["cdiVersion"] == version


def test_configure_replaces_features_as_the_real_one_does(ctk, tmp_path):
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"features": {"buildkit": True}, "debug": True}))
    ctk.runtime_configure(ctk.parser().parse_args(["runtime", "configure", "--config", str(path), "--cdi.enabled"]))
    assert json.loads(path.read_text()) == {
        "debug": True,
        "features": {"cdi": True},
        "runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}},
    }
