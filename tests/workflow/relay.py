"""A TCP port in front of a server, which can lose the server in the middle of a transfer."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable

HOST = "127.0.0.1"
CHUNK = 1 << 16


class Relay(socketserver.ThreadingTCPServer):
    """Passes on what clients send to the server behind it, and what it answers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behind: int) -> None:
        super().__init__((HOST, 0), _Connection)
        self.behind = behind
        self.port: int = self.server_address[1]
        self._left = 0
        self._then: Callable[[], None] = _nothing
        self._counting = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def after(self, sent: int, then: Callable[[], None]) -> None:
        """Call ``then`` once, before the byte after the next ``sent`` bytes of clients is passed on."""
        with self._counting:
            self._left, self._then = sent, then

    def count(self, sent: int) -> None:
        """Count what a client sent."""
        with self._counting:
            self._left -= sent
            if self._left < 0:
                self._then()
                self._then = _nothing


class _Connection(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.server.behind)) as behind:
            answers = threading.Thread(target=_pass_on, args=(behind, self.request, _nothing))
            answers.start()
            _pass_on(self.request, behind, self.server.count)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket, count: Callable[..., None]) -> None:
    try:
        with contextlib.suppress(OSError):
            target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms for each packet of SFTP
            while chunk := source.recv(CHUNK):
                count(len(chunk))
                target.sendall(chunk)
    finally:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _nothing(*_: int) -> None:
    """What is done where nothing is to be done."""
