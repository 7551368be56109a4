#!/usr/bin/env bash
# Makes a broker quick to start: formats one storage folder to copy from, and archives the classes that a broker loads.
# setup.sh calls it: prepare.sh KAFKA_FOLDER, which holds libs/; $JAVA is the java to use.
set -euo pipefail

kafka="$1"
java="${JAVA:-java}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

read -r broker controller < <(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))
PYTHON
)
cat >"$work/broker.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
log.dirs=$work/data
log.cleaner.dedupe.buffer.size=2097152
PROPERTIES
# The same console appender as a broker of the tests has, so that its classes are in the archive too.
cat >"$kafka/log4j2.yaml" <<'YAML'
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "%d %p %c{1} %m%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        - ref: STDOUT
YAML

options=(-Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$kafka/libs/*")
"$java" "${options[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$work/broker.properties" >/dev/null
cp -r "$work/data" "$kafka/formatted"
chmod -R u+w "$kafka/formatted"

"$java" -XX:ArchiveClassesAtExit="$kafka/broker.jsa" -Dlog4j2.configurationFile="$kafka/log4j2.yaml" "${options[@]}" \
  kafka.Kafka "$work/broker.properties" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 600); do
  grep -q 'Kafka Server started' "$work/log" && break
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
if ! grep -q 'Kafka Server started' "$work/log"; then
  tail -n 30 "$work/log" >&2
  kill -9 "$pid" 2>/dev/null || true
  echo "setup: the broker did not start; its log is above" >&2
  exit 1
fi
kill -TERM "$pid"
wait "$pid" || true
[ -f "$kafka/broker.jsa" ] || echo "setup: this java archives no classes; brokers start a second slower" >&2
