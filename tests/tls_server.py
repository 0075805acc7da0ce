"""TLS for the HTTP servers of tests."""

import socketserver
import ssl
import sys

# A client that says nothing keeps its own thread this long, and nobody else's.
HANDSHAKE_S = 20


def secure(server: socketserver.TCPServer, context: ssl.SSLContext) -> None:
    """Each connection's handshake is made in the thread that serves it, at its first read: in accept(), one silent
    client would hold up the server, and its shutdown, for ever."""
    assert isinstance(server, socketserver.ThreadingMixIn), "a server with one thread would wait for one client"
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    accept = server.get_request

    def get_request():
        connection, address = accept()
        connection.settimeout(HANDSHAKE_S)
        return connection, address

    report = server.handle_error

    def handle_error(request, client_address):
        if not isinstance(
            sys.exc_info()[1], OSError
        ):  # who refuses a certificate, or hangs up, is no error of the server's
            report(request, client_address)

    server.get_request, server.handle_error = get_request, handle_error
