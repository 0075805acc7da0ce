"""`dgctl verify`: a pytest suite that asks the servers whether they work, the same everywhere.

One file a subject (test_driver.py, test_tls.py ...), one plain function a check. suite.py runs it, plugin.py
gives the functions their fixtures and turns reports into Checks, connection.py reaches the servers.
"""

from dgctl.verify.suite import run

__all__ = ["run"]
