"""Which checks of the doctor fail for a fault, and what their fix says."""

FAULTS = {}  # the function that makes a patient unhealthy: {check that fails: a word of its fix}


def fault(checks):
    """Marks a function that makes a patient unhealthy in one way."""

    def known(change):
        FAULTS[change] = checks
        return change

    return known
