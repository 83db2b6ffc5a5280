#!/bin/bash
# Thousands of idle sessions beside live traffic: memory and CPU that they take, and how long a message takes meanwhile.
# Usage: benches/idle.sh [SESSIONS], 10000 unless said. GATEWAY names another binary than target/release/gateway.
# Needs python3 and as many open files as sessions in each of two processes (ulimit -n).
set -eu
SESSIONS=${1:-10000}
HERE=$(cd "$(dirname "$0")/.." && pwd)
GATEWAY=${GATEWAY:-$HERE/target/release/gateway}
ulimit -n "$(ulimit -Hn)"
DIR=$(mktemp -d)
PID=
trap '[ -z "$PID" ] || kill "$PID" 2> /dev/null || true; rm -rf "$DIR"' EXIT
mkdir "$DIR/policies" "$DIR/rules"
cat > "$DIR/gateway.yaml" <<Y
hostname: gw.bench.test
domains: [dest.test]
endpoints:
  mx: { listen: "127.0.0.1:0", policy: edge, rules: inbound, delivery: queue }
spool: { path: spool }
admin: { listen: "127.0.0.1:0" }
Y
echo "default: allow" > "$DIR/policies/edge.yaml"
printf 'otherwise: drop\nrules: []\n' > "$DIR/rules/inbound.yaml"
"$GATEWAY" run --config "$DIR/gateway.yaml" --log json > "$DIR/log.json" &
PID=$!
python3 - "$SESSIONS" "$PID" "$DIR/log.json" <<'PY'
import json, os, smtplib, socket, sys, time, urllib.request

sessions, pid, log = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def listening(endpoint):
    for _ in range(1000):
        with open(log) as lines:
            for line in lines:
                event = json.loads(line) if line.endswith("\n") else {}
                if event.get("event") == "listening" and event["endpoint"] == endpoint:
                    host, port = event["address"].rsplit(":", 1)
                    return host, int(port)
        time.sleep(0.01)
    sys.exit("the gateway does not listen")


def resident_kib():
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def cpu_seconds():
    with open(f"/proc/{pid}/stat") as line:
        fields = line.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(count):
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        with smtplib.SMTP(*mx) as client:
            client.sendmail("a@example.org", ["b@dest.test"], "Subject: live\r\n\r\nx\r\n")
        times.append(time.perf_counter() - begin)
    times.sort()
    return f"median {times[len(times) // 2] * 1000:.1f} ms, worst {times[-1] * 1000:.1f} ms"


mx, admin = listening("mx"), listening("(admin)")
print("alone:          ", send(200))
before = resident_kib()
begin = time.perf_counter()
idle = []
for _ in range(sessions):
    client = socket.create_connection(mx)
    client.recv(200)
    client.sendall(b"EHLO idle.example\r\n")
    client.recv(500)
    idle.append(client)
print(f"connected:       {sessions} in {time.perf_counter() - begin:.1f} s")
print(f"memory:          {(resident_kib() - before) / sessions:.1f} KiB for each")
print("beside them:    ", send(200))
cpu = cpu_seconds()
time.sleep(5)
print(f"cpu while idle:  {(cpu_seconds() - cpu) / 5 * 100:.1f} % of a core")
with urllib.request.urlopen("http://%s:%d/metrics" % admin) as page:
    for line in page.read().decode().splitlines():
        if line.startswith(("gateway_connections ", "gateway_pressure ")):
            print(line)
PY
