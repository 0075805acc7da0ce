"""Which checks of the doctor fail for a sickness, and what a cure says."""

SICK = {}  # the function that makes a patient sick: {check that fails: a word of the cure}


def sick(checks):
    """Marks a function that makes a patient sick in one way."""

    def known(change):
        SICK[change] = checks
        return change

    return known
