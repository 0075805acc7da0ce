"""What can be wrong with a server, as functions that make a patient so, with what the doctor then says."""

from tests.doctor.sicknesses import api, driver, engines, gpus, packages, proxy, states, toolkit

__all__ = ["api", "driver", "engines", "gpus", "packages", "proxy", "states", "toolkit"]
