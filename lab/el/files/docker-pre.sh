getent group docker >/dev/null || groupadd --system docker
