"""NGINX's certificate from an ACME authority (RFC 8555): a program of the server's own, that has certbot order it."""
