# shellcheck shell=bash
# Settings that the scripts of this folder share; each can be set in the environment.
export LAB_DIR
LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LAB_CACHE=${LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/dcm-receiver-edc-lab} # jars and classes, kept
export LAB_RUN=${LAB_RUN:-$LAB_CACHE/run}                   # what the running lab leaves: keys, logs, PIDs
export CUSTOMER_BPN=${CUSTOMER_BPN:-BPNL8888888888XX}       # offers the asset; the customer of `dcm-receiver example`
export SUPPLIER_BPN=${SUPPLIER_BPN:-BPNL6666666666YY}       # uses it; the supplier of `dcm-receiver example`
export CUSTOMER_PORT=${CUSTOMER_PORT:-19100}                # first of 7 ports, all on 127.0.0.1
export SUPPLIER_PORT=${SUPPLIER_PORT:-19200}                # first of 7 ports, all on 127.0.0.1
export MANAGEMENT_KEY=${MANAGEMENT_KEY:-lab-management-key} # of both Management APIs
export VAULT_KEY=${VAULT_KEY:-lab-vault-key}                # the secret dcm-receiver-key in the customer's vault
export CUSTOMER_MANAGEMENT=http://127.0.0.1:$((CUSTOMER_PORT + 1))/management
export SUPPLIER_MANAGEMENT=http://127.0.0.1:$((SUPPLIER_PORT + 1))/management
export CUSTOMER_DSP=http://127.0.0.1:$((CUSTOMER_PORT + 2))/dsp
export SUPPLIER_DSP=http://127.0.0.1:$((SUPPLIER_PORT + 2))/dsp

# lab_needs says in one line what is missing, and fails then.
lab_needs() {
  local release
  if ! command -v mvn > /dev/null || ! command -v curl > /dev/null || ! command -v "${JAVA_HOME:+$JAVA_HOME/bin/}javac" > /dev/null; then
    echo "$1 skipped: it needs a JDK 17 or later, Maven and curl (apt-get install openjdk-17-jdk-headless maven curl; brew install openjdk maven)" >&2
    return 1
  fi
  release=$("${JAVA_HOME:+$JAVA_HOME/bin/}javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
  if [ "${release:-0}" -lt 17 ]; then
    echo "$1 skipped: it needs a JDK 17 or later, and javac here is ${release:-unknown}; JAVA_HOME can name another" >&2
    return 1
  fi
}
