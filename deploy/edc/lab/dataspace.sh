#!/usr/bin/env bash
# A dataspace to try: a customer and a supplier, each with a real connector and this program behind it, and what CX-0048 has
# them tell each other. Each step is checked: the script ends with status 1 where one does not go as it says. Then everything
# stays up until Ctrl-C. `make dataspace` runs it.
#
#   dataspace.sh BINARY [--once]     --once: end after the last step. Settings: lab.sh
set -euo pipefail
program=${1:?usage: dataspace.sh path-of-the-dcm-receiver-program [--once]}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
once=${2:-}
export CUSTOMER_BPN=BPNL8888888888XX SUPPLIER_BPN=BPNL00000000SUP1 # those of `dcm-receiver example --world`
lab=$(cd "$(dirname "$0")" && pwd)
. "$lab/lab.sh"
lab_needs "make dataspace" || exit 0

# Nothing of what is set for another receiver or database is meant for these.
for name in DATABASE_URL $(compgen -e | grep -E '^(DCM_|PG)' || true); do unset "$name"; done

dir=$(mktemp -d "${TMPDIR:-/tmp}/dcm-dataspace.XXXXXX")
export LAB_RUN=$dir/edc
cd "$dir"
serving=()
finish() {
  trap '' INT TERM HUP
  for pid in ${serving[@]+"${serving[@]}"}; do kill "$pid" 2> /dev/null || true; done
  for pid in ${serving[@]+"${serving[@]}"}; do wait "$pid" 2> /dev/null || true; done
  "$lab/down.sh"
  cd /
  rm -rf "$dir"
}
trap finish EXIT
trap 'echo "dataspace.sh: the command in line $LINENO failed" >&2' ERR
trap 'exit 0' INT # the way to end it
trap 'exit 143' TERM HUP

step() { printf '\n== %s\n' "$*"; }
fail() {
  echo "This is not as it should be: $*" >&2
  for side in customer supplier; do
    [ ! -f "$dir/$side.log" ] || { echo "End of the log of the $side's receiver:"; tail -5 "$dir/$side.log"; } >&2
  done
  exit 1
}

# Each side is the same program, with settings of its own.
serve() { # side setting…
  local side=$1 i pid out=$dir/$1.out
  shift
  mkdir "$dir/$side"
  set -m # Ctrl-C is for this script, which then stops the receivers in order
  env DCM_LISTEN=127.0.0.1:0 DCM_OPS_LISTEN=127.0.0.1:0 DCM_PLANNING_LISTEN= DCM_DATA_DIR="$dir/$side" DCM_API_KEYS="the-$side's-key" \
    DCM_SEND=true DCM_EDC_MANAGEMENT_KEY="$MANAGEMENT_KEY" "$@" "$program" serve > "$out" 2> "$dir/$side.log" &
  pid=$!
  serving+=("$pid")
  set +m
  # The program says which ports it got: whoever answers there is this process, and no other program.
  for i in $(seq 600); do
    grep -q '^Look:' "$out" && curl -fsS -o /dev/null "$(sed -n 's,.*Operations: \(http[^ ]*\)/metrics,\1,p' "$out")/readyz" 2> /dev/null && break
    [ "$i" -lt 600 ] && kill -0 "$pid" 2> /dev/null || fail "the $side's receiver did not become ready"
    sleep 0.2
  done
  eval "${side}_listen=$(sed -n 's,^Partners: \(http[^ ]*\).*,\1,p' "$out")"
  eval "${side}_psql=\$(sed -n 's/^Look: *\(.*\) -c .*/\1/p' \"$out\")"
}

command_of() { # side command…: shows the command, and runs it with the side's settings
  local side=$1
  shift
  printf '%s$ dcm-receiver %s\n' "$side" "$*"
  local names=(DCM_DATA_DIR="$dir/$side" DCM_API_KEYS="the-$side's-key" DCM_EDC_MANAGEMENT_KEY="$MANAGEMENT_KEY" DCM_EDC_CACHE_DIR="$dir/$side/cache")
  case $side in
    customer) names+=(DCM_CUSTOMER_BPNLS="$CUSTOMER_BPN" DCM_PARTNERS="$SUPPLIER_BPN" DCM_EDC_MANAGEMENT_URL="$CUSTOMER_MANAGEMENT"
      DCM_EDC_BACKEND_URL="$customer_listen" DCM_EDC_CUSTOMER="$SUPPLIER_BPN" DCM_EDC_CUSTOMER_URL="$SUPPLIER_DSP") ;;
    supplier) names+=(DCM_SUPPLIER_BPNLS="$SUPPLIER_BPN" DCM_PARTNERS="$CUSTOMER_BPN" DCM_EDC_MANAGEMENT_URL="$SUPPLIER_MANAGEMENT"
      DCM_EDC_BACKEND_URL="$supplier_listen" DCM_EDC_CUSTOMER="$CUSTOMER_BPN" DCM_EDC_CUSTOMER_URL="$CUSTOMER_DSP") ;;
  esac
  env "${names[@]}" "$program" "$@" 2>&1
}
customer() { command_of customer "$@" || fail "the command failed"; }
supplier() { command_of supplier "$@" || fail "the command failed"; }
refused() { # side command…: the exit status must be 1, "no"
  local status=0
  command_of "$@" || status=$?
  [ "$status" = 1 ] || fail "exit status $status, expected 1"
  echo "(exit status 1)"
}
value() { # side SQL
  local psql=${1}_psql
  eval "${!psql} -X -A -t -q -v ON_ERROR_STOP=1 -c \"\$2\""
}
table() { # side SQL: what somebody sees there
  local psql=${1}_psql
  eval "${!psql} -X -q -v ON_ERROR_STOP=1 -P pager=off -P footer=off -P null=- -c \"\$2\""
}
until_true() { # side SQL what
  local i
  for i in $(seq 300); do
    [ "$(value "$1" "$2")" != t ] || return 0
    sleep 0.2
  done
  fail "after a minute it is not so that $3"
}
header() { # sender receiver context [further members]: a message header with a messageId of its own
  printf '"messageHeader": {"header": {"messageId": "%s", "context": "%s", "sentDateTime": "%s", "senderBpn": "%s", "receiverBpn": "%s", "version": "3.0.0"%s}}' \
    "$(value customer 'select gen_random_uuid()')" "$3" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" "${4:-}"
}

step "1. Two connectors start: the customer's and the supplier's (the first time some 60 MB are fetched)"
"$lab/up.sh"

step "2. Behind each stands this program: as customer, and as supplier"
serve customer DCM_CUSTOMER_BPNLS="$CUSTOMER_BPN" DCM_EDC_MANAGEMENT_URL="$CUSTOMER_MANAGEMENT" DCM_PLANNING_LISTEN=127.0.0.1:0
serve supplier DCM_SUPPLIER_BPNLS="$SUPPLIER_BPN" DCM_EDC_MANAGEMENT_URL="$SUPPLIER_MANAGEMENT"
pages=$(sed -n 's,.*serving the pages for planners.*\(http://[0-9.:]*\).*,\1,p' "$dir/customer.log")
echo "customer: $CUSTOMER_BPN, the connector reaches its receiver at $customer_listen; its planners' pages: $pages"
echo "supplier: $SUPPLIER_BPN, the connector reaches its receiver at $supplier_listen"

step "3. Each offers its endpoints at its own connector, for the other one to find"
customer edc register
supplier edc register
echo "Once more, and nothing is left to do:"
customer edc register

step "4. The customer's planner releases demands; they go to the supplier by themselves"
"$program" example --world world --weeks 26 > /dev/null
{ head -n 1 world/*demand-lines.csv; grep -h "^$SUPPLIER_BPN," world/*demand-lines.csv; } > demands.csv
cp world/01-week-based-capacity-group-"$SUPPLIER_BPN".json groups.json
customer partner add "$SUPPLIER_BPN" --dsp-url "$SUPPLIER_DSP"
customer demand import demands.csv
customer demand release
until_true customer "select count(*) = 4 from planning.delivery where state = 'delivered'" "four demands are delivered"
customer demand status
echo "What the supplier's planner has (planning.demand):"
table supplier "select material_number_customer as material, customer_location as for_site, count(*) as weeks, min(point_in_time) as first, max(demand) as most_a_week, unit_of_measure as unit, is_inactive as inactive
  from planning.demand where direction = 'received' group by 1, 2, 6, 7 order by 1, 2"

step "5. The supplier answers with its capacities: a message with four groups"
supplier edc send groups.json
echo "What the customer's planner has: demand beside capacity (planning.group_week, the weeks after the running one)"
table customer "select name, point_in_time as week, demand, actual_capacity as actual, maximum_capacity as maximum, result, colour
  from planning.group_week join planning.capacity_group using (supplier, customer, capacity_group_id)
  where name in ('Foundry, line 1', 'Machining, cell 4') and point_in_time > current_date order by 1, 2 limit 4"

step "6. The supplier asks for a demand again (request for update); the customer's receiver answers by itself"
demand=$(value supplier "select material_demand_id from planning.material_demand where material_number_customer = 'MNR-100002.001'")
cat > request.json << END
{$(header "$SUPPLIER_BPN" "$CUSTOMER_BPN" urn:samm:io.catenax.id_based_request_for_update:3.0.0),
 "content": {"informationObject": [{"weekBasedMaterialDemand": [{"materialDemandId": "$demand"}]}]}}
END
supplier edc send --endpoint id-based-request-for-update request.json
until_true customer "select count(*) = 1 from planning.delivery where state = 'delivered' and answers_message_id is not null" "the request is answered"
echo "What the customer's operator sees of it (planning.request_for_update, planning.delivery):"
table customer "select r.message_id as request, r.answer, d.state, round(extract(epoch from d.delivered_at - r.requested_at), 1) || ' s' as after
  from planning.request_for_update r join planning.delivery d on d.answers_message_id = r.message_id"
[ "$(value customer "select d.delivered_at - r.requested_at < interval '10 s' from planning.request_for_update r join planning.delivery d on d.answers_message_id = r.message_id")" = t ] ||
  fail "one object takes more than the 10 s of CX-0128 §4.3.2.5"

step "7. The customer asks for all capacity groups again, as after a restore; the supplier's receiver has the request"
customer request --all --supplier "$SUPPLIER_BPN" --customer "$CUSTOMER_BPN"
until_true supplier "select count(*) = 1 from planning.request_for_capacity_group" "the supplier has the request"
echo "What the supplier's planner sees (planning.request_for_capacity_group):"
table supplier "select customer as asked_by, coalesce(capacity_group_id::text, 'all') as groups, message_id from planning.request_for_capacity_group"
echo "The groups live in the supplier's planning system, which sends them as an answer to that message:"
asked=$(value supplier "select message_id from planning.request_for_capacity_group")
sed -E "s/\"messageId\": \"[^\"]*\"/\"messageId\": \"$(value customer 'select gen_random_uuid()')\", \"relatedMessageId\": \"$asked\"/" groups.json > answer.json
supplier edc send answer.json | sed -e 's/^  "results": \[$/&  … each as in step 5, but with rule 7: nothing new/' -e '/^    /d'
[ "$(value customer "select array_agg(distinct rule) = '{7}' from planning.message_object where message = (select id from planning.message order by received_at desc limit 1)")" = t ] || fail "the answer has another rule than 7"

step "8. A demand that the supplier refuses: the reason arrives where the customer's planner looks"
echo "Another system of the customer's once sent MNR-900001.001 under an ID that this receiver does not know:"
week=$(sed -n 6p demands.csv | cut -d, -f6)
cat > other-system.json << END
{$(header "$CUSTOMER_BPN" "$SUPPLIER_BPN" urn:samm:io.catenax.week_based_material_demand:3.0.0),
 "content": {"informationObject": [{"materialDemandId": "$(value customer 'select gen_random_uuid()')", "supplier": "$SUPPLIER_BPN", "customer": "$CUSTOMER_BPN",
  "materialNumberCustomer": "MNR-900001.001", "materialDescriptionCustomer": "Calliper", "changedAt": "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "unitOfMeasure": "unit:piece",
  "unitOfMeasureIsOmitted": false, "materialDemandIsInactive": false, "demandSeries": [{"customerLocation": "BPNS8888888888XX",
  "demandCategory": {"demandCategoryCode": "0001"}, "demands": [{"pointInTime": "$week", "demand": 10}]}]}]}}
END
customer edc send --endpoint week-based-material-demand other-system.json
{
  head -n 1 demands.csv
  for material in MNR-900001.001,Calliper MNR-900002.001,Hose; do
    echo "$SUPPLIER_BPN,$CUSTOMER_BPN,${material%,*},BPNS8888888888XX,0001,$week,20,${material#*,},unit:piece,false"
  done
} > more.csv
echo "Now this receiver releases it, under an ID of its own, together with MNR-900002.001:"
customer demand import --release more.csv
until_true customer "select count(*) = 2 from planning.delivery d join planning.material_demand m on m.material_demand_id = d.object_id
  where material_number_customer like 'MNR-90%' and state in ('delivered', 'refused')" "both have arrived or are refused"
table customer "select m.material_number_customer as material, d.state, d.status from planning.delivery d join planning.material_demand m on m.material_demand_id = d.object_id
  where material_number_customer like 'MNR-90%' order by 1"
customer demand status
[ "$(value customer "select string_agg(d.state, ',' order by material_number_customer) = 'refused,delivered' and max(d.reason) like '%this material has the material demand % already%' from planning.delivery d
  join planning.material_demand m on m.material_demand_id = d.object_id where material_number_customer like 'MNR-90%'")" = t ] || fail "one is to be refused with its reason, the other delivered"

step "9. A capacity group that the customer refuses: the supplier's connector shows a bare 500, and the reason is fetched"
sed -E '1,/"unitOfMeasure"/s/("unitOfMeasure" *: *)"[^"]*"/\1"unit:barrelOfMonkeys"/' groups.json > wrong.json
refused supplier edc send wrong.json

step "All of it went as it should$([ -n "$once" ] || echo '; it stays up until Ctrl-C')"
[ -z "$once" ] || exit 0
cat << END
The planners' pages of the customer: $pages
Send more, as the supplier:
  export DCM_EDC_MANAGEMENT_URL=$SUPPLIER_MANAGEMENT DCM_EDC_MANAGEMENT_KEY=$MANAGEMENT_KEY
  export DCM_EDC_CUSTOMER=$CUSTOMER_BPN DCM_EDC_CUSTOMER_URL=$CUSTOMER_DSP DCM_EDC_CACHE_DIR=$dir/supplier/cache
  $program edc send $dir/groups.json
Release more, as the customer:
  DCM_DATA_DIR=$dir/customer $program demand import --release FILE.csv
Logs: $dir/customer.log, $dir/supplier.log, $LAB_RUN/customer.log, $LAB_RUN/supplier.log
END
wait "${serving[@]}"
