"""Options of the modules that install packages, each by the package manager of its family."""


class ModuleDocFragment:
    """What is the same for each; a module documents beside it what its package manager has of its own."""

    DOCUMENTATION = r"""
options:
  first_replaces:
    description: Patterns of installed packages that give way to those in O(first).
    type: list
    elements: str
    default: []
  along:
    description: Packages that later calls will ask for. Where anything of O(packages) is missing, they come in the
      same transaction, which is quicker than one of their own; what cannot come along is left to those calls. Those
      with a version are held where O(hold) is true.
    type: list
    elements: str
    default: []
  kernel_headers:
    description: Also install the headers that DKMS needs, for the running kernel and for those to come.
    type: bool
    default: false
  hold_also:
    description: Patterns of installed packages that are held or released with those.
    type: list
    elements: str
    default: []
  may_remove:
    description: Patterns of packages that the transaction may remove; it is refused when it would remove
      any other.
    type: list
    elements: str
    default: []
  replaces:
    description: Patterns of installed packages that give way to O(packages) in the same transaction.
    type: list
    elements: str
    default: []
"""
