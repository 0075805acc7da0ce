"""What modules say alike about check mode and differences."""


class ModuleDocFragment:
    """`check_mode`, `check_mode.no_diff` where there is nothing to show, `check_mode.diff` where all is shown."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Says what it would change, and changes nothing.
    support: full
"""
    NO_DIFF = (
        DOCUMENTATION
        + r"""
  diff_mode:
    description: Shows what it changes.
    support: none
"""
    )
    DIFF = (
        DOCUMENTATION
        + r"""
  diff_mode:
    description: Shows what it changes.
    support: full
"""
    )
