#!/bin/bash
# The gateway as a target of the side-by-side MTA benchmark: a policy, forty rules, events written to a file.
# Variants: inline (default: 250 after the next hop's own) and queue (250 after the spool's sync).
# SPF, DKIM, DMARC and ARC are off, for the other MTAs do without them as long as they have no milter; benches/verdicts.rs measures them.
# Verbs: prepare, run, queue, info. BENCH_PORT, BENCH_SINK_PORT, BENCH_STATE, BENCH_CERT, BENCH_KEY, BENCH_MAXSIZE and
# BENCH_VARIANT come from the harness; GATEWAY names another binary than target/release/gateway.
set -eu
VERB=${1:?verb}
HERE=$(cd "$(dirname "$0")/../.." && pwd)
GATEWAY=${GATEWAY:-$HERE/target/release/gateway}
: "${BENCH_PORT:=25250}" "${BENCH_SINK_PORT:=25260}" "${BENCH_STATE:=/tmp/gateway-bench}" "${BENCH_VARIANT:=inline}" "${BENCH_MAXSIZE:=52428800}"
[ -n "$BENCH_VARIANT" ] || BENCH_VARIANT=inline
DIR=$BENCH_STATE/gateway

rules() {
  echo "otherwise: reject"
  echo "rules:"
  # 39 rules that are judged and do not match: text, header, address, size and list conditions in turn.
  for n in $(seq 1 39); do
    echo "  - name: rule-$n"
    case $((n % 6)) in
      0) echo "    when: [{ subject: { contains: \"[tag-$n]\" } }]" ;;
      1) echo "    when: [{ from: { ends_with: \"@blocked-$n.example\" } }]" ;;
      2) echo "    when: [{ header: { name: X-Campaign, equals: \"campaign-$n\" } }]" ;;
      3) echo "    when: [{ message_size: { greater_than: $((60 + n))MiB } }]" ;;
      4) echo "    when: [{ source_ip: { cidr_matches: [198.51.100.$n/32, \"2001:db8:$n::/48\"] } }]" ;;
      5) echo "    when: [{ recipient: { equals: \"leaver-$n@dest.test\" } }]" ;;
    esac
    echo "    actions: [Drop]"
  done
  echo "  - name: everyone"
  echo "    actions: [{ SMTPRelay: { relay: sink } }]"
}

case $VERB in
prepare)
  rm -rf "$DIR"
  mkdir -p "$DIR/policies" "$DIR/rules"
  cat > "$DIR/gateway.yaml" <<Y
hostname: gw.bench.test
domains: [dest.test]
endpoints:
  mx:
    type: open
    listen: ["127.0.0.1:$BENCH_PORT"]
    policy: edge
    rules: inbound
    delivery: $BENCH_VARIANT
    authentication_results: false
$([ -z "${BENCH_CERT:-}" ] || echo "    tls: { mode: optional, certificate: $BENCH_CERT, key: $BENCH_KEY }")
relays:
  sink: { host: 127.0.0.1, port: $BENCH_SINK_PORT, limits: { connections: 100 } }
spool: { path: spool }
Y
  cat > "$DIR/policies/edge.yaml" <<Y
default: deny
max_message_size: $BENCH_MAXSIZE
deny:
  - name: listed
    when: [{ sender_ip: { cidr_matches: [198.51.100.0/24, 203.0.113.0/24, "2001:db8:bad::/48"] } }]
allow:
  - name: ours
    when: [{ recipient: { ends_with: "@dest.test" } }]
Y
  rules > "$DIR/rules/inbound.yaml"
  "$GATEWAY" validate "$DIR/gateway.yaml" "$DIR/policies" "$DIR/rules" >&2
  ;;
run) exec ${BENCH_UNDER:-} "$GATEWAY" run --config "$DIR/gateway.yaml" > "$DIR/log.json" ;;
queue) exit 3 ;;
logs) cat "$DIR/log.json" ;;
info) echo "$("$GATEWAY" --version) variant $BENCH_VARIANT" ;;
*) echo "unknown verb $VERB" >&2; exit 2 ;;
esac
