"""Can the host be asked at all: SSH, and root through sudo."""

# What ssh and sudo say -> what to do about it; the first that fits.
FIXES = (
    (
        "Permission denied",
        "check ansible_user and ansible_ssh_private_key_file in the inventory; then try: {login}",
    ),
    (
        "Host key verification failed",
        "the host's key is new or has changed: compare it with the server's console, then "
        "ssh-keyscan {address} >> ~/.ssh/known_hosts",
    ),
    (
        "password is required",
        "let the user use sudo without a password, or set ansible_become_password in the vault",
    ),
    ("password attempt", "check ansible_become_password in the vault"),
    ("not in the sudoers", "give the user sudo rights on the server, or set another ansible_user"),
    ("ansible_", "change that variable in the inventory"),
    (
        "",
        "check ansible_host and ansible_port in the inventory, and that the server is up; try: {login}",
    ),
)


def test_reachable(first_word, planned, expect):
    problem = first_word.get("problem")
    advice = next(fix for sign, fix in FIXES if sign in (problem or ""))
    fix = advice.format(login=planned["route"]["by_hand"], address=planned["address"])
    expect(problem or first_word["said"], "an answer over SSH, and root through sudo", fix, ok=not problem)
