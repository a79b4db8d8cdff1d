#!/usr/bin/env bash
# Starts two real connectors on loopback, the customer's and the supplier's: control plane and data plane in one JVM
# each, all stores in memory. Artifacts are fetched by Maven the first time. down.sh stops them.
#
# Settings: lab.sh; also JAVA_HOME, LAB_XMX (heap of each, 512m), TOKEN_EXPIRY (seconds that an EDR's token is valid),
# CUSTOMER_EXTRA and SUPPLIER_EXTRA (further EDC settings, one a line).
set -euo pipefail
. "$(dirname "$0")/lab.sh"
lab_needs "the EDC lab" || exit 77
umask 077 # keys and settings are nobody else's
mkdir -p "$LAB_CACHE" "$LAB_RUN"
[ ! -s "$LAB_RUN/pids" ] || { echo "the lab runs already, or was left behind: run $LAB_DIR/down.sh" >&2; exit 1; }

cd "$LAB_DIR"
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
# built once for a state of these files; two labs that start together must not build together
exec 9> "$LAB_CACHE/lock"
command -v flock > /dev/null && flock 9
stamp=$(cat pom.xml src/lab/edc/*.java src/META-INF/services/* | cksum)
if [ "$(cat "$LAB_CACHE/stamp" 2> /dev/null)" != "$stamp" ]; then
  rm -rf "${LAB_CACHE:?}/lib" "$LAB_CACHE/classes"
  mvn -B -l "$LAB_CACHE/maven.log" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$LAB_CACHE/lib" ||
    { tail -20 "$LAB_CACHE/maven.log" >&2; echo "Maven could not fetch the connectors; see $LAB_CACHE/maven.log" >&2; exit 1; }
  "${java}c" -nowarn --release 17 -proc:none -cp "$LAB_CACHE/lib/*" -d "$LAB_CACHE/classes" src/lab/edc/*.java
  cp -r src/META-INF "$LAB_CACHE/classes/"
  echo "$stamp" > "$LAB_CACHE/stamp"
fi
exec 9>&-

start() { # name BPN first-port further-settings
  local name=$1 bpn=$2 p=$3
  cat > "$LAB_RUN/$name.properties" << CONF
edc.participant.id=$bpn
edc.iam.issuer.id=did:lab:$bpn
edc.agent.identity.key=BusinessPartnerNumber
edc.hostname=127.0.0.1
lab.keys=$LAB_RUN/keys
lab.secret.dcm-receiver-key=$VAULT_KEY
web.http.port=$p
web.http.path=/api
web.http.management.port=$((p + 1))
web.http.management.path=/management
web.http.management.auth.type=tokenbased
web.http.management.auth.key=$MANAGEMENT_KEY
web.http.protocol.port=$((p + 2))
web.http.protocol.path=/dsp
web.http.control.port=$((p + 3))
web.http.control.path=/control
web.http.public.port=$((p + 4))
web.http.public.path=/public
web.http.version.port=$((p + 5))
web.http.version.path=/version
tx.edc.dpf.consumer.proxy.port=$((p + 6))
tx.edc.dpf.consumer.proxy.auth.apikey=$MANAGEMENT_KEY
edc.dsp.callback.address=http://127.0.0.1:$((p + 2))/dsp
edc.dataplane.api.public.baseurl=http://127.0.0.1:$((p + 4))/public
edc.transfer.proxy.token.signer.privatekey.alias=lab-private-key
edc.transfer.proxy.token.verifier.publickey.alias=did:lab:$bpn#key-1
tx.edc.dataplane.token.refresh.endpoint=http://127.0.0.1:$((p + 4))/public/token
tx.edc.dataplane.token.expiry=${TOKEN_EXPIRY:-300}
edc.negotiation.state-machine.iteration-wait-millis=100
edc.negotiation.consumer.state-machine.iteration-wait-millis=100
edc.negotiation.provider.state-machine.iteration-wait-millis=100
edc.transfer.state-machine.iteration-wait-millis=100
edc.dataplane.state-machine.iteration-wait-millis=100
edc.data.plane.selector.state-machine.iteration-wait-millis=100
$4
CONF
  # a process group of its own: Ctrl-C is for the script that started it, which then calls down.sh
  set -m
  # UTF-8: otherwise Java 17 under LANG=C makes "?" of every umlaut in a body
  "$java" -Xms64m -Xmx"${LAB_XMX:-512m}" -Dfile.encoding=UTF-8 -Dedc.fs.config="$LAB_RUN/$name.properties" \
    -cp "$LAB_CACHE/classes:$LAB_CACHE/lib/*" org.eclipse.edc.boot.system.runtime.BaseRuntime \
    > "$LAB_RUN/$name.log" 2>&1 < /dev/null &
  set +m
  echo "$name $!" >> "$LAB_RUN/pids"
}

# a lab that was left behind would answer for this one
for p in "$CUSTOMER_PORT" "$SUPPLIER_PORT"; do
  if curl -sS -o /dev/null "http://127.0.0.1:$p/api/check/health" 2> /dev/null; then
    echo "port $p is in use, perhaps by a lab that was left behind: end it, or set CUSTOMER_PORT and SUPPLIER_PORT" >&2
    exit 1
  fi
done
start customer "$CUSTOMER_BPN" "$CUSTOMER_PORT" "${CUSTOMER_EXTRA:-}"
start supplier "$SUPPLIER_BPN" "$SUPPLIER_PORT" "${SUPPLIER_EXTRA:-}"

fail() {
  tail -30 "$LAB_RUN/$name.log" >&2
  echo "$1" >&2
  "$LAB_DIR/down.sh" >&2
  exit 1
}
while read -r name pid; do
  [ "$name" = customer ] && p=$CUSTOMER_PORT || p=$SUPPLIER_PORT
  for i in $(seq 241); do
    kill -0 "$pid" 2> /dev/null || fail "the $name's connector ended while starting"
    curl -fsS -o /dev/null "http://127.0.0.1:$p/api/check/health" 2> /dev/null && break
    [ "$i" -lt 241 ] || fail "the $name's connector is not healthy after two minutes"
    sleep 0.5
  done
  echo "$name: Management API http://127.0.0.1:$((p + 1))/management, DSP http://127.0.0.1:$((p + 2))/dsp, data plane http://127.0.0.1:$((p + 4))/public, log $LAB_RUN/$name.log"
done < "$LAB_RUN/pids"
