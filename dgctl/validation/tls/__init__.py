"""TLS from the desk: the proxies' certificates, whoever gives them, and the APIs' own."""
