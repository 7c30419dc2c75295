"""A real SMTP server for the tests of mail: STARTTLS, a login, and what it was sent as JSON lines.

usage: smtp.py FOLDER [plain]

Writes FOLDER/ca.pem, then prints its port, then one JSON object per mail it accepted. `plain` offers
no STARTTLS. Ends with its standard input.
"""

import email
import email.policy
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificates(folder):
    """A certificate authority, and a server certificate for localhost that it signed."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    paths = {name: str(folder / name) for name in ["ca.pem", "ca.key", "leaf.csr", "leaf.key", "leaf.pem"]}
    openssl("req", "-x509", *key, "-keyout", paths["ca.key"], "-out", paths["ca.pem"], "-days", "30",
            "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-keyout", paths["leaf.key"], "-out", paths["leaf.csr"], "-subj", "/CN=localhost")
    extensions = folder / "leaf.ext"
    extensions.write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", paths["leaf.csr"], "-CA", paths["ca.pem"], "-CAkey", paths["ca.key"],
            "-days", "30", "-extfile", str(extensions), "-out", paths["leaf.pem"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths["leaf.pem"], paths["leaf.key"])
    return context


class Printer:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        bodies = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        headers = {name.lower(): str(value) for name, value in mail.items()}
        said = {"tls": session.ssl is not None, "login": session.auth_data, "to": envelope.rcpt_tos,
                "from": envelope.mail_from, "headers": headers, "bodies": bodies}
        print(json.dumps(said), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    name, word = data.login.decode(), data.password.decode()
    if (name, word) == ("ringwatch", "correct-horse"):
        return AuthResult(success=True, auth_data=name)
    return AuthResult(success=False, handled=False)


def main():
    folder = Path(sys.argv[1])
    secured = "plain" not in sys.argv[2:]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tls = {"tls_context": certificates(folder), "require_starttls": True, "authenticator": login}
    controller = Controller(Printer(), hostname="127.0.0.1", port=port, **(tls if secured else {}))
    controller.start()
    print(port, flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main()
