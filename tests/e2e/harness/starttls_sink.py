"""A next hop with STARTTLS that offers one more keyword, argv[1], over TLS. argv[2] and argv[3]: its certificate and key.

Prints its address, then each line that it is sent, behind `plain` or `tls`. The end of standard input ends it.
"""

import os, socketserver, ssl, sys, threading

keyword, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Session(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            self.serve()
        except OSError:
            # A client that does not believe the certificate goes away.
            pass

    def serve(self):
        connection, security, in_data = self.request, "plain", False
        file = connection.makefile("rb")
        connection.sendall(b"220 next.example ESMTP\r\n")
        while line := file.readline():
            line = line.decode("latin-1").rstrip("\r\n")
            print(security, line, flush=True)
            verb = line.split(" ")[0].upper()
            if in_data:
                if line != ".":
                    continue
                in_data, reply = False, "250 2.0.0 taken"
            elif verb == "EHLO":
                reply = "250-next.example\r\n250 " + ("STARTTLS" if security == "plain" else keyword)
            elif verb == "STARTTLS":
                connection.sendall(b"220 2.0.0 ready\r\n")
                connection, security = context.wrap_socket(connection, server_side=True), "tls"
                file = connection.makefile("rb")
                continue
            elif verb == "DATA":
                in_data, reply = True, "354 go on"
            else:
                reply = "221 2.0.0 bye" if verb == "QUIT" else "250 2.0.0 ok"
            connection.sendall(reply.encode() + b"\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


with Server(("127.0.0.1", 0), Session) as server:
    print("listening 127.0.0.1:%d" % server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)
