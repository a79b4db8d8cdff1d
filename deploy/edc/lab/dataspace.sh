#!/usr/bin/env bash
# A dataspace to try: two real connectors, the receiver behind the customer's, and a message through all of it. Then
# everything stays up until Ctrl-C. `make dataspace` runs it.
#
#   dataspace.sh BINARY      settings: lab.sh; DCM_LISTEN and DCM_OPS_LISTEN of the receiver
set -euo pipefail
program=${1:?usage: dataspace.sh path of the dcm-receiver program}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$(dirname "$0")"
. ./lab.sh
lab_needs "make dataspace" || exit 0

dir=$(mktemp -d "${TMPDIR:-/tmp}/dcm-dataspace.XXXXXX")
export LAB_RUN=$dir/edc
receiver=
finish() {
  trap '' INT TERM
  [ -z "$receiver" ] || { kill "$receiver" 2> /dev/null && wait "$receiver" || true; }
  ./down.sh
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 0' INT # the way to end it
trap 'exit 143' TERM
say() { printf '\n== %s\n' "$*"; }

say "Starting two connectors (the first time some 60 MB are fetched)"
./up.sh

say "Starting the receiver and its private Postgres"
export DCM_LISTEN=${DCM_LISTEN:-127.0.0.1:19080} DCM_OPS_LISTEN=${DCM_OPS_LISTEN:-127.0.0.1:19090}
for address in "$DCM_LISTEN" "$DCM_OPS_LISTEN"; do
  # Another program there would answer in the receiver's place.
  if (exec 3<> "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null; then
    echo "another program listens on $address: stop it, or set DCM_LISTEN and DCM_OPS_LISTEN" >&2
    exit 1
  fi
done
export DCM_PLANNING_LISTEN=${DCM_PLANNING_LISTEN-}
export DCM_CUSTOMER_BPNLS=$CUSTOMER_BPN DCM_API_KEYS=lab-backend-key DCM_DATA_DIR=$dir/receiver
unset DATABASE_URL PGHOST PGPORT PGDATABASE PGSERVICE
mkdir "$DCM_DATA_DIR"
set -m # Ctrl-C is for this script, which then stops the receiver in order
"$program" serve > "$dir/receiver.out" 2> "$dir/receiver.log" &
receiver=$!
set +m
for i in $(seq 600); do
  curl -fsS -o /dev/null "http://$DCM_OPS_LISTEN/readyz" 2> /dev/null && break
  if [ "$i" = 600 ] || ! kill -0 "$receiver" 2> /dev/null; then cat "$dir/receiver.log" >&2; exit 1; fi
  sleep 0.2
done
cat "$dir/receiver.out"

say "The customer registers the endpoints at its connector"
register() {
  DCM_EDC_MANAGEMENT_URL=$CUSTOMER_MANAGEMENT DCM_EDC_MANAGEMENT_KEY=$MANAGEMENT_KEY DCM_EDC_BACKEND_URL=http://$DCM_LISTEN \
    "$program" edc register
}
register
echo "Again:"
register

send() {
  DCM_EDC_MANAGEMENT_URL=$SUPPLIER_MANAGEMENT DCM_EDC_MANAGEMENT_KEY=$MANAGEMENT_KEY DCM_EDC_CUSTOMER=$CUSTOMER_BPN \
    DCM_EDC_CUSTOMER_URL=$CUSTOMER_DSP DCM_EDC_CACHE_DIR=$dir/cache "$program" edc send "$@" 2>&1
}
"$program" example --supplier "$SUPPLIER_BPN" --customer "$CUSTOMER_BPN" --weeks 4 > "$dir/example.json"
say "The supplier sends an example: it is new, so the receiver says 201 (rule 5), of which the connector makes 200"
send "$dir/example.json"
say "The same again: nothing new (rule 7)"
send "$dir/example.json"
say "A unit of measure that does not exist: 400 (rule 1); the connector makes 500 of it, and the reason is fetched"
sed -E 's/("unitOfMeasure" *: *)"[^"]*"/\1"unit:barrelOfMonkeys"/' "$dir/example.json" > "$dir/wrong.json"
send "$dir/wrong.json" || true

say "What the planner sees"
look=$(sed -n 's/^Look: *//p' "$dir/receiver.out")
eval "$look"

say "All of it stays up until Ctrl-C"
cat << END
Send more, as the supplier:
  export DCM_EDC_MANAGEMENT_URL=$SUPPLIER_MANAGEMENT DCM_EDC_MANAGEMENT_KEY=$MANAGEMENT_KEY
  export DCM_EDC_CUSTOMER=$CUSTOMER_BPN DCM_EDC_CUSTOMER_URL=$CUSTOMER_DSP DCM_EDC_CACHE_DIR=$dir/cache
  $program edc send $dir/example.json
Logs: $dir/receiver.log, $LAB_RUN/customer.log, $LAB_RUN/supplier.log
END
wait "$receiver"
