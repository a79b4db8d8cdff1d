#!/usr/bin/env bash
# Stops the connectors that up.sh started, and forgets what they wrote but their logs.
. "$(dirname "$0")/lab.sh"
[ -f "$LAB_RUN/pids" ] || exit 0
# a PID may have been given to another process since: look before ending it
ours() { ps -ww -o args= -p "$2" 2> /dev/null | grep -qF "edc.fs.config=$LAB_RUN/$1.properties"; }
while read -r name pid; do ours "$name" "$pid" && kill "$pid"; done < "$LAB_RUN/pids"
while read -r name pid; do
  for _ in $(seq 50); do ours "$name" "$pid" || break; sleep 0.2; done
  ours "$name" "$pid" && kill -9 "$pid"
done < "$LAB_RUN/pids"
rm -rf "$LAB_RUN/pids" "$LAB_RUN/keys" "$LAB_RUN"/*.properties
