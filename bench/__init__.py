"""The benchmark: what dgctl costs beside plain Ansible, pyinfra, SSH, and a script by hand. Not part of the wheel."""
