"""One question to one name server, over UDP, without the system's resolver, which asks the next where one does not answer.

RFC 1035, section 4: a header of twelve bytes, then the name as labels, type A (1), class IN (1).
"""

import os
import socket
import struct
import time

PORT = 53


def ask(server, name, timeout, port=PORT):
    """Seconds until a name server answers a question for an address, whatever it says; None where it does not."""
    number = struct.unpack("!H", os.urandom(2))[0]
    labels = b"".join(
        bytes([len(part)]) + part for part in name.rstrip(".").encode("ascii", "ignore").split(b".") if part
    )
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    begin = time.monotonic()
    try:
        family = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        with socket.socket(family[0], socket.SOCK_DGRAM) as asked:
            asked.connect(family[4])
            asked.send(question)
            while True:
                asked.settimeout(max(0.001, begin + timeout - time.monotonic()))
                if asked.recv(512)[:2] == struct.pack("!H", number):
                    return time.monotonic() - begin
    except OSError:
        return None
