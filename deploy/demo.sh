#!/usr/bin/env bash
# Serves a small world, so that a newcomer sees all pages within a minute: three
# suppliers' groups, released demands, bottlenecks, comments, refused messages.
# Its private Postgres lives in .dcm-demo; Ctrl-C ends it, and removing the folder
# begins anew.
set -euo pipefail
program=$(realpath "$1")
export DCM_DATA_DIR=$PWD/.dcm-demo DCM_STANDARD=cx-0128 DCM_CUSTOMER_BPNLS=BPNL8888888888XX DCM_LOG_LEVEL=warn
export DCM_LISTEN=${DCM_LISTEN:-127.0.0.1:8080} DCM_OPS_LISTEN=${DCM_OPS_LISTEN:-127.0.0.1:9090} DCM_PLANNING_LISTEN=${DCM_PLANNING_LISTEN:-127.0.0.1:8088}
unset DATABASE_URL

world=$(mktemp -d)
"$program" serve > "$world/serve.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$world"' EXIT
until curl -sf "http://$DCM_OPS_LISTEN/readyz" >/dev/null; do
  kill -0 $server 2>/dev/null || { cat "$world/serve.log"; exit 1; }
  sleep 0.2
done
kill -0 $server # another program could have answered

"$program" example --world "$world" --customer BPNL8888888888XX >/dev/null
post() { # kind of message
  for file in "$world"/*"$1"-BPNL*.json; do
    name=${file%.json}
    status=$(curl -sS -o "$world/answer" -w '%{http_code}' -H 'Content-Type: application/json' -H "Edc-Bpn: ${name##*-}" \
      --data-binary "@$file" "http://$DCM_LISTEN/$1")
    echo "$status  $1 of ${name##*-}"
  done
}
post week-based-capacity-group
psql -X -q -v ON_ERROR_STOP=1 -h "$DCM_DATA_DIR/postgres" -U dcm dcm <<SQL
truncate outbox.demand_line;
\\copy outbox.demand_line ($(head -n 1 "$world"/*demand-lines.csv)) from program 'cat $world/*demand-lines.csv' with (format csv, header)
\\pset tuples_only on
select 'demands released: ' || string_agg(n || ' ' || outcome, ', ') from (select outcome, count(*) as n from outbox.release() group by outcome) r;
SQL
post id-based-request-for-update
post id-based-comment
echo "Pages: http://$DCM_PLANNING_LISTEN   (Ctrl-C ends it)"
wait $server
