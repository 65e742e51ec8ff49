#!/usr/bin/env bash
# Fetches Apache Kafka's jars, once, into the workspace's cache. Quick when they are there already. Needs java and mvn.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/../../../.cache/kafka-4.3.1
[ -s "$cache/libs/kafka_2.13-4.3.1.jar" ] && [ -e "$cache/complete" ] && exit 0
mkdir -p "$cache"
# Two test files may come here at the same time.
exec 9>"$cache/lock"
flock 9
[ -e "$cache/complete" ] && exit 0
echo "fetching Apache Kafka 4.3.1" >&2
cp "$here/pom.xml" "$cache/pom.xml"
(cd "$cache" && mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DoutputDirectory=libs -DincludeScope=runtime >&2)
touch "$cache/complete"
