"""A next hop made of aiosmtpd. Prints its port, then a JSON line for each message, each login, and each end of a
connection that had a message.

argv[1] is a folder: messages go to N.eml in it; users.json in it, read at each login, maps user names to passwords.
argv[2] is JSON: tls (certificate and key), mechanisms, login_required. A line on standard input ends
the connections that there are, its end ends the program.
"""

import base64, json, os, socket, ssl, sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

folder, options = sys.argv[1], json.loads(sys.argv[2])
SMTP.line_length_limit = 100_000


def say(**event):
    print(json.dumps(event), flush=True)


class Handler:
    count = 0
    transports = set()

    async def handle_DATA(self, server, session, envelope):
        self.transports.add(server.transport)
        self.count += 1
        path = os.path.join(folder, f"{self.count}.eml")
        with open(path, "wb") as file:
            file.write(envelope.original_content)
        login = session.auth_data.decode() if session.authenticated else None
        say(event="message", path=path, mail_from=envelope.mail_from, recipients=envelope.rcpt_tos, tls=session.ssl is not None, login=login)
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    with open(os.path.join(folder, "users.json")) as file:
        users = json.load(file)
    good = users.get(data.login.decode()) == data.password.decode()
    say(event="login", mechanism=mechanism, good=good)
    return AuthResult(success=good, handled=False, auth_data=data.login)


settings = {"data_size_limit": 64 * 1024 * 1024, "ident": "aiosmtpd", "ready_timeout": 60.0}
if options.get("tls"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options["tls"])
    settings |= {"tls_context": context, "require_starttls": options.get("login_required", False)}
if options.get("mechanisms"):
    settings["auth_exclude_mechanism"] = [name for name in ("PLAIN", "LOGIN", "XOAUTH2") if name not in options["mechanisms"]]
    settings |= {"authenticator": authenticate, "auth_required": options.get("login_required", False)}


class Server(SMTP):
    # As Google and Microsoft do it: a token that is not taken gets a challenge, and the final code after an empty line.
    async def auth_XOAUTH2(self, server, args):
        user, token, *_ = base64.b64decode(args[1]).split(b"\x01")
        login = LoginPassword(user.removeprefix(b"user="), token.removeprefix(b"auth=Bearer "))
        result = self._authenticate("XOAUTH2", login)
        if not result.success and await self.challenge_auth('{"status":"401"}') != b"":
            say(event="nonsense")
        return result

    def connection_lost(self, error):
        had_messages = self.transport in self.event_handler.transports
        super().connection_lost(error)
        if had_messages:
            # Not now: the socket is closed after this.
            self.loop.call_soon(lambda: say(event="hung up"))


class OnAnyPort(Controller):
    def factory(self):
        return Server(self.handler, **self.SMTP_kwargs)

    # The usual start ends with a connection to the port that was asked for, which is 0 here.
    def _trigger_server(self):
        with socket.create_connection(self.server.sockets[0].getsockname(), 60) as probe:
            probe.recv(100)


handler = Handler()
controller = OnAnyPort(handler, hostname="127.0.0.1", port=0, **settings)
controller.start()
say(event="listening", port=controller.server.sockets[0].getsockname()[1])
for line in sys.stdin:
    # Asked for: ends the connections on which messages came.
    for transport in handler.transports:
        controller.loop.call_soon_threadsafe(transport.abort)
os._exit(0)
