"""Options of modules that work with containers."""


class ModuleDocFragment:
    """`containers`: the engine must be named. `containers.usual`: it is Docker unless named. `containers.hung`: it stops them."""

    DOCUMENTATION = r"""
options:
  engine:
    description: Container engine.
    type: str
    choices: [docker, podman]
    required: true
"""
    USUAL = r"""
options:
  engine:
    description: Container engine.
    type: str
    choices: [docker, podman]
    default: docker
"""
    HUNG = r"""
options:
  hung_stop_s:
    description: Seconds that a container may leave its own status unanswered before it is killed; 0 never kills it for that.
    type: int
    default: 0
"""
