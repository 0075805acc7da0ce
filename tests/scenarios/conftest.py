"""One lab server for the whole session; the numbered files tell its story in order, from blank to repaired."""

from tests.scenarios.one_server import one_server

lab, deployment, server = one_server("story", "one-server", scope="session")
