"""Real servers on loopback that hold a DVC remote: OpenSSH's, and rclone's for the S3 protocol.

Each is reached through a relay, so that its port stays the same when it is killed and started again.
"""

import contextlib
import getpass
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil

from . import installed
from .relay import HOST, Relay

SECONDS_TO_START = 30.0
CHECKSUMS = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")


class Server(ABC):
    """A server with everything that is its own in one folder, which outlives it."""

    section: str
    """Of docs/sharing.md."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        (self.port,) = free_ports(1)
        self.relay = Relay(self.port)
        self.environment = {"HOME": str(folder)}
        self.log = folder / "server.log"
        self._process: psutil.Popen | None = None
        self._changing = threading.Lock()

    @property
    @abstractmethod
    def values(self) -> dict[str, str]:
        """What stands for the placeholders of the page."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def contents(self, remote: str) -> dict[str, str]:
        """The md5 of every file of a remote, by its path in it."""

    @abstractmethod
    def damage(self, remote: str, name: str) -> None:
        """Change one byte of an object."""

    @abstractmethod
    def delete(self, remote: str, name: str) -> None:
        """Delete an object."""

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self._changing, self.log.open("wb") as log:
            self._process = psutil.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | self.environment
            )
            until = time.monotonic() + SECONDS_TO_START
            while time.monotonic() < until and self._process.poll() is None:
                if self.answers():
                    return
                time.sleep(0.05)
        raise AssertionError(f"{self.section} server did not start:\n{self.log.read_text()[-2000:]}")

    def answers(self) -> bool:
        """Whether the server is ready for clients."""
        with socket.socket() as attempt:
            return attempt.connect_ex((HOST, self.port)) == 0

    @property
    def running(self) -> bool:
        """Whether the server was started and not killed since."""
        return self._process is not None

    def kill(self) -> None:
        """Kill the server and the processes of its connections."""
        with self._changing:
            process, self._process = self._process, None
            assert process is not None
            family = [*process.children(recursive=True), process]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(family)

    def close(self) -> None:
        """End server and relay."""
        if self._process is not None:
            self.kill()
        self.relay.shutdown()
        self.relay.server_close()


class Ssh(Server):
    """OpenSSH's server for the current user, with a host key, a configuration and an authorised key of its own."""

    section = "SSH"

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, folder)
        self._program, libraries = installed.sshd(root)
        if libraries:
            self.environment["LD_LIBRARY_PATH"] = str(libraries)
        keys = folder / ".ssh"
        keys.mkdir(mode=0o700)
        for name in ("host", "id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
        (folder / "config").write_text(
            f"ListenAddress {HOST}\nPort {self.port}\nPidFile none\nHostKey {keys / 'host'}\n"
            f"AuthorizedKeysFile {keys / 'id_ed25519.pub'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
        )

    @property
    def values(self) -> dict[str, str]:
        place = f"{getpass.getuser()}@{HOST}:{self.relay.port}{self.folder}"
        return {"USER@HOST:22/srv": place}

    def command(self) -> list[str]:
        return [str(self._program), "-D", "-e", "-f", str(self.folder / "config")]

    def contents(self, remote: str) -> dict[str, str]:
        place = self.folder / remote
        files = [path for path in place.rglob("*") if path.is_file()]
        return {path.relative_to(place).as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files}

    def damage(self, remote: str, name: str) -> None:
        path = self.folder / remote / name
        path.write_bytes(_damaged(path.read_bytes()))

    def delete(self, remote: str, name: str) -> None:
        (self.folder / remote / name).unlink()


class S3(Server):
    """rclone's S3 server for a folder with one bucket, reached with signed requests as any client of S3 would."""

    section = "S3"

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, folder)
        self._program = installed.rclone(root)
        self._keys = {"AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "a secret of the tests"}
        self.environment |= self._keys
        self.environment["AWS_MAX_ATTEMPTS"] = "1"  # else clients of a killed server go on trying for over a minute
        # As docs/sharing.md says of servers that are not Amazon's: rclone keeps the checksum of one part for the whole.
        self.environment |= dict.fromkeys(CHECKSUMS, "when_required")
        (folder / "data/results").mkdir(parents=True)

    @property
    def values(self) -> dict[str, str]:
        keys = {f"{name}=...": f"{name}='{value}'" for name, value in self._keys.items()}
        return {"BUCKET": "results", "https://HOST": f"http://{HOST}:{self.relay.port}"} | keys

    def command(self) -> list[str]:
        options = ["--addr", f"{HOST}:{self.port}", "--auth-key", ",".join(self._keys.values())]
        return [str(self._program), "serve", "s3", *options, str(self.folder / "data")]

    def contents(self, remote: str) -> dict[str, str]:
        files = "{name.removeprefix(place): md5(s3.cat_file(name)).hexdigest() for name in s3.find(place)}"
        return dict(json.loads(self._client(remote, f"print(json.dumps({files}))")))

    def damage(self, remote: str, name: str) -> None:
        change = f"old = s3.cat_file(place + {name!r}); s3.pipe_file(place + {name!r}, old[:-1] + bytes([old[-1] ^ 1]))"
        self._client(remote, change)

    def delete(self, remote: str, name: str) -> None:
        self._client(remote, f"s3.rm_file(place + {name!r})")

    def _client(self, remote: str, statement: str) -> str:
        program = (
            "import json, s3fs\nfrom hashlib import md5\n"
            f"s3 = s3fs.S3FileSystem(endpoint_url='http://{HOST}:{self.relay.port}')\n"
            f"place = 'results/{remote}/'\n{statement}\n"
        )
        python = installed.clients(self.root) / "bin/python"
        return subprocess.run(
            [str(python), "-c", program], env=os.environ | self.environment, capture_output=True, text=True, check=True
        ).stdout


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    listeners = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _damaged(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])
