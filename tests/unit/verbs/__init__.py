"""What each verb does, with Ansible or in its place."""
