"""A real Dovecot for one test: IMAP on a free port of the loopback, one mailbox that tests put mails into."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

BINARY = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
needs_dovecot = pytest.mark.skipif(
    BINARY is None or not Path("/usr/lib/dovecot/imap").exists(), reason="dovecot is not installed (apt install dovecot-imapd)"
)


class Dovecot:
    """Runs inside `with`; anybody signs in with `password`. `certificate` (file, key) makes it speak TLS from the first byte."""

    def __init__(self, password: str, certificate: tuple[Path, Path] | None = None) -> None:
        self.password, self._certificate = password, certificate
        # Not the folder of the test, which other users, whom Dovecot reads mails as, cannot enter.
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        assert BINARY is not None
        me = pwd.getpwuid(os.getuid()).pw_name
        reader = "nobody" if os.getuid() == 0 else me
        inner, login = ("dovecot", "dovenull") if os.getuid() == 0 else (me, me)
        uid, gid = pwd.getpwnam(reader).pw_uid, pwd.getpwnam(reader).pw_gid
        for name in ("new", "cur", "tmp"):
            (self.folder / "mail" / name).mkdir(parents=True)
        for path in (self.folder / "mail").rglob("*"):
            os.chown(path, uid, gid)
        os.chown(self.folder / "mail", uid, gid)
        self.folder.chmod(0o755)
        tls = "ssl = no"
        if self._certificate is not None:
            for name, source in zip(("cert", "key"), self._certificate, strict=True):
                shutil.copy(source, self.folder / name)
            tls = f"ssl = required\nssl_cert = <{self.folder}/cert\nssl_key = <{self.folder}/key"
        plain, secure = (0, self.port) if self._certificate else (self.port, 0)
        (self.folder / "conf").write_text(
            f"base_dir = {self.folder}/run\nstate_dir = {self.folder}/state\nlog_path = {self.folder}/log\nprotocols = imap\n"
            f"listen = 127.0.0.1\n{tls}\ndisable_plaintext_auth = no\nmail_location = maildir:{self.folder}/mail\n"
            f"first_valid_uid = 1\nfirst_valid_gid = 1\ndefault_internal_user = {inner}\ndefault_login_user = {login}\n"
            f"passdb {{\n driver = static\n args = password={self.password}\n}}\n"
            f"userdb {{\n driver = static\n args = uid={uid} gid={gid} home={self.folder}/mail\n}}\n"
            f"service imap-login {{\n chroot =\n inet_listener imap {{\n port = {plain}\n }}\n"
            f" inet_listener imaps {{\n port = {secure}\n ssl = yes\n }}\n}}\nservice anvil {{\n chroot =\n}}\n"
        )
        command = [BINARY, "-F", "-c", str(self.folder / "conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, f"dovecot ended: {self.log}"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    if self._certificate or probe.recv(4) == b"* OK":
                        return self
            except OSError:
                pass
            assert time.monotonic() < deadline, f"dovecot does not answer: {self.log}"
            time.sleep(0.05)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-2000:] if path.exists() else ""

    def put(self, mail: EmailMessage | bytes) -> None:
        """A mail arrives."""
        self._count += 1
        path = self.folder / "mail" / "new" / f"{time.time_ns()}.{self._count}.test"
        path.write_bytes(mail if isinstance(mail, bytes) else mail.as_bytes())
        path.chmod(0o644)

    def seen(self) -> int:
        """How many mails somebody has seen."""
        return sum("S" in path.name.partition(":2,")[2] for path in (self.folder / "mail" / "cur").iterdir())
