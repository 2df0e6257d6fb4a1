"""Mail and WebSockets, of common packages: servers in a member, and clients that see whether all arrives.

serve NAME FOLDER: an SMTP server on port 2525 and one of WebSockets on 8800, on all addresses of both versions of IP
ask ADDRESS MAIL_PORT CHAT_PORT SEED: sends mail and talks; prints what the servers are called
"""

import asyncio
import hashlib
import random
import smtplib
import sys

from aiosmtpd.controller import Controller
from websockets.asyncio.server import serve
from websockets.sync.client import connect

ANY = ["0.0.0.0", "::"]
SECONDS = 60
# Lines of a letter, and bytes of messages: of less than a packet, of some, of many.
LINES = 3_000
SIZES = [1, 1_400, 70_000, 1_000_000]


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Mailbox:
    """Answers each letter with its digest."""

    def __init__(self, name):
        self.name = name

    async def handle_DATA(self, server, session, envelope):
        client = session.peer[0].removeprefix("::ffff:")
        return f"250 {self.name} {client} {digest(envelope.content)}"


async def chat(socket, name):
    """Says its name first, then repeats what comes, and pushes what nobody asked for."""
    await socket.send(name)
    async for message in socket:
        await socket.send(message)
        await socket.send(digest(message))


async def serve_all(name):
    for host in ANY:
        Controller(Mailbox(name), hostname=host, port=2525, data_size_limit=None).start()
    # Its own pings come often, so that they meet what is under way.
    async with serve(lambda socket: chat(socket, name), ANY, 8800, max_size=None, ping_interval=0.05):
        await asyncio.get_running_loop().create_future()


def send_mail(address, port, letters):
    names = set()
    lines = [f"{letters.getrandbits(400):x}" for _ in range(LINES)]
    lines[7] = "." + lines[7]  # which SMTP stuffs
    text = "\r\n".join(lines) + "\r\n"
    with smtplib.SMTP(address, port, timeout=SECONDS) as server:
        own = server.sock.getsockname()[0]
        server.ehlo()
        for _ in range(2):
            server.mail("a@example.org")
            server.rcpt("b@example.org")
            code, said = server.data(text)
            name, client, seen = said.decode().split()
            assert (code, client, seen) == (250, own, digest(text.encode())), (code, said, own)
            names.add(name)
    return names


def talk(address, port, bytes_of):
    host = f"[{address}]" if ":" in address else address
    with connect(f"ws://{host}:{port}/", open_timeout=SECONDS, max_size=None, compression=None) as socket:
        name = socket.recv(SECONDS)
        for size in SIZES:
            message = bytes_of.randbytes(size)
            socket.send(message)
            assert socket.recv(SECONDS) == message
            assert socket.recv(SECONDS) == digest(message)
        assert socket.ping().wait(SECONDS)
    return {name}


def ask(address, mail, chat, seed):
    numbers = random.Random(seed)
    names = set()
    for _ in range(8):
        names |= send_mail(address, int(mail), numbers)
        names |= talk(address, int(chat), numbers)
    print(*sorted(names))


if sys.argv[1] == "serve":
    asyncio.run(serve_all(sys.argv[2]))
else:
    ask(*sys.argv[2:])
