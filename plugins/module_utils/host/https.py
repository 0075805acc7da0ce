"""HTTP requests that verify TLS, follow no redirect with a password, and report instead of raising."""

import socket
import ssl
import urllib.error
import urllib.request


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib sends Authorization on to wherever a redirect points; so authenticated requests follow none."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return None


class Answer:
    """status (0: none came), headers, error (why none came, one line); body is read only where asked for."""

    def __init__(self, status=0, headers=None, body=b"", error=""):
        self.status, self.headers, self.body, self.error = status, headers or {}, body, error


def ask(url, headers=None, method="GET", timeout=10, read_limit=0):
    """One request. At most read_limit bytes of the body are read, so a model link costs only its headers."""
    headers = headers or {}
    request = urllib.request.Request(url, headers=headers, method=method)
    handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context())]
    if "Authorization" in headers:
        handlers.append(_NoRedirect())
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read(read_limit) if read_limit else b"")
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read(read_limit) if read_limit else b"")
    except (OSError, ValueError) as error:
        return Answer(error=reason(error))


def reason(error):
    """Why a connection failed, in words that say which of name, network and certificate it was."""
    error = getattr(error, "reason", error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"name does not resolve ({error.strerror})"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or error.__class__.__name__


def advice(error, host):
    """What to do about a reason()."""
    if "does not resolve" in error:
        return "Correct the name, or the name servers of this host (resolvectl status, /etc/resolv.conf)."
    if "certificate" in error:
        return (
            f"Put the certificate authority that signs for {host} into this host's trust store "
            "(/usr/local/share/ca-certificates, update-ca-certificates)."
        )
    return f"Open the way from this host to {host} in the firewall, or correct the address."
