#!/usr/bin/env python3
"""Instructions that the gateway executes for a message, in user space, counted by valgrind: a figure that a busy machine does not change.

Usage: benches/mta/instructions.py [--messages N] [--keep FOLDER] [VARIANT...]

The target is that of gateway.sh, with its policy and forty rules; a variant is `inline` or `queue`, both unless said. A client sends N
messages of 10 KB, one after the other, and then, to a fresh gateway, 2N; the difference by N is what a message costs, for start and stop
are in both. It does so with one message a connection and with ten. GATEWAY names another binary than target/release/gateway. Needs
valgrind. With --keep the profiles stay in a folder, for `callgrind_annotate --inclusive=yes`.
"""

import argparse, json, os, pathlib, re, shutil, signal, smtplib, socketserver, subprocess, sys, tempfile, threading, time

HERE = pathlib.Path(__file__).resolve().parent
LINE = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\r\n"
PATIENCE = 300


class Sink(socketserver.ThreadingTCPServer):
    """A next hop that takes all mail and counts it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Dialogue)
        self.taken, self.changed = 0, threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def count(self):
        with self.changed:
            self.taken += 1
            self.changed.notify_all()

    def wait(self, number):
        with self.changed:
            if not self.changed.wait_for(lambda: self.taken >= number, PATIENCE):
                sys.exit(f"{self.taken} of {number} messages have arrived")


class Dialogue(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        self.reply("220 sink.test")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.reply("250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME")
            elif verb == b"DATA":
                self.reply("354 Go on")
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                self.server.count()
                self.reply("250 2.0.0 Taken")
            elif verb == b"QUIT":
                return self.reply("221 Bye")
            else:
                self.reply("250 2.0.0 Ok")

    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")


class Gateway:
    """The gateway under callgrind, as a target of gateway.sh."""

    def __init__(self, variant, sink, profile):
        self.profile = profile
        self.state = tempfile.TemporaryDirectory()
        self.environment = dict(
            os.environ,
            BENCH_STATE=self.state.name,
            BENCH_VARIANT=variant,
            BENCH_PORT="0",
            BENCH_SINK_PORT=str(sink.server_address[1]),
            # Valgrind counts each octet that `rep movsb` moves; with vectors it counts what is carried out.
            GLIBC_TUNABLES="glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824",
            BENCH_UNDER=f"valgrind --quiet --tool=callgrind --callgrind-out-file={profile}",
        )
        subprocess.run([HERE / "gateway.sh", "prepare"], env=self.environment, check=True, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen([HERE / "gateway.sh", "run"], env=self.environment)
        self.address = self.listening()

    def listening(self):
        log = pathlib.Path(self.state.name, "gateway", "log.json")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            for line in log.read_text().splitlines() if log.exists() else []:
                event = json.loads(line) if line.endswith("}") else {}
                if event.get("event") == "listening" and event["endpoint"] == "mx":
                    host, port = event["address"].rsplit(":", 1)
                    return host, int(port)
            time.sleep(0.05)
        sys.exit("the gateway does not listen")

    def stop(self):
        """Ends it and says how many instructions it took."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE) != 0:
            sys.exit("the gateway has not ended as it should")
        self.state.cleanup()
        return int(re.search(r"^(?:summary|totals): (\d+)", self.profile.read_text(), re.MULTILINE)[1])


def send(address, messages, each):
    text = "From: alice@sender.example\r\nTo: bob@dest.test\r\nSubject: Minutes\r\nMessage-ID: <1@sender.example>\r\n"
    text += "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\n"
    text += LINE * ((10_000 - len(text)) // len(LINE))
    for _ in range(messages // each):
        with smtplib.SMTP(*address, local_hostname="client.example") as client:
            for _ in range(each):
                client.sendmail("alice@sender.example", ["bob@dest.test"], text)


def run(variant, messages, each, profile):
    sink = Sink()
    gateway = Gateway(variant, sink, profile)
    send(gateway.address, messages, each)
    sink.wait(messages)
    count = gateway.stop()
    sink.shutdown()
    sink.server_close()
    return count


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=500)
    options.add_argument("--keep", type=pathlib.Path)
    options.add_argument("variants", nargs="*", metavar="VARIANT", default=["inline", "queue"])
    given = options.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for variant in given.variants:
            for each in (1, 10):
                once, twice = (
                    run(variant, given.messages * times, each, folder / f"{variant}-{each}-{times}.callgrind") for times in (1, 2)
                )
                print(f"{variant}, {each:2} a connection: {(twice - once) / given.messages:9,.0f} instructions a message", flush=True)


main()
