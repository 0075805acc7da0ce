"""One Ansible run through ansible-runner: job, events in, outcome out; the session around it."""
