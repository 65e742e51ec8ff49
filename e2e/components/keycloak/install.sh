#!/usr/bin/env bash
# Fetches Keycloak's distribution, once, into the workspace's cache, and prepares it for its embedded database. Needs java and mvn.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=26.7.3
cache=$here/../../../.cache/keycloak-$version
[ -e "$cache/complete" ] && exit 0
mkdir -p "$cache"
# Two test files may come here at the same time.
exec 9>"$cache/lock"
flock 9
[ -e "$cache/complete" ] && exit 0
echo "fetching Keycloak $version" >&2
cp "$here/pom.xml" "$cache/pom.xml"
(cd "$cache" && mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DoutputDirectory=download -DincludeTypes=tar.gz >&2)
tar xzf "$cache/download/keycloak-quarkus-dist-$version.tar.gz" -C "$cache" --strip-components=1
rm -rf "$cache/download"
# It augments itself for the chosen database once; done here, it is in no start.
(cd "$cache" && bin/kc.sh build --db=dev-file >build.log 2>&1) || { tail "$cache/build.log" >&2; exit 1; }
touch "$cache/complete"
