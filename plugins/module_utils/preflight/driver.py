"""Preflight checks of the wanted driver against the host's GPUs and board, before anything is installed."""

import datetime

from ansible.module_utils.host.outcome import finding
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.nvidia import nvswitch
from ansible.module_utils.nvidia.drivers import AUTO, Drivers


class Wanted:
    """tables: {gpus, generations, branches, nvswitch, nvswitch_packages}.

    driver: {branch, kernel_module, source, packages (manager), offered (branches)}.
    """

    def __init__(self, tables, driver, root=nvswitch.PCI):
        self.tables, self.driver, self.branch = tables, driver, str(driver["branch"])
        month = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
        self.drivers = Drivers(tables["branches"], tables["generations"], month, driver.get("offered"))
        self.devices = nvidia_host.pci_gpus(root)
        self.models = [tables["gpus"][device["id"]] for device in self.devices if device["id"] in tables["gpus"]]
        self.board = nvswitch.board(tables["nvswitch"], {model.get("nvswitch") for model in self.models}, root)

    def facts(self):
        """What the driver's role goes by: the flavour to install, the NVSwitch board ("" for none), its packages."""
        return {
            "gpus": [device["id"] for device in self.devices],
            "kernel_module": self.module(),
            "nvswitch": self.board,
            "fabric_packages": self.fabric()[0],
        }

    def module(self):
        """What cannot work is refused by the finding; unknown GPUs are new ones, for which the open module is right."""
        flavour = self.driver["kernel_module"]
        return self.drivers.chosen(self.branch, flavour, self.models) or ("open" if flavour == AUTO else flavour)

    def fabric(self):
        """(packages, what no package is known for) that the board needs."""
        if not self.board:
            return [], []
        needs, table = self.tables["nvswitch"][self.board]["needs"], self.tables["nvswitch_packages"]
        return nvswitch.packages(table, self.driver["source"], self.driver["packages"], needs, self.branch)

    def findings(self):
        return [self.of_driver(), *self.of_board()] if self.devices else []

    def of_driver(self):
        """Does the wanted branch in the wanted flavour drive every GPU? A branch past its end is said, not refused."""
        flavour = self.driver["kernel_module"]
        problem = self.drivers.problem(self.branch, flavour, self.models)
        seen = f"{self.drivers.described(self.branch)}, {self.module()} kernel module"
        what, fix = problem or ("", "")
        return finding(
            "driver for these GPUs",
            not problem,
            f"{what}; the GPUs need: {'; '.join(self.drivers.needs(self.models))}" if problem else seen,
            "a branch and kernel module that drive every GPU",
            f"{fix}.",
        )

    def of_board(self):
        """Has the driver's source what the host's NVSwitches need?"""
        if not self.board:
            return []
        row = self.tables["nvswitch"][self.board]
        found, missing = self.fabric()
        return [
            finding(
                "nvswitch",
                not missing,
                "{}: {}".format(row["name"], ", ".join(package["name"] for package in found) or "no package known"),
                "packages for {}".format(", ".join(row["needs"])),
                "Take the driver from NVIDIA's repository, in branch 580 or newer: this source is not known to have "
                "{}.".format(", ".join(missing)),
            )
        ]
