"""The user's files: read with Ansible's own code, rendered, edited byte-exactly."""
