#!/usr/bin/env bash
# Installs what the system tests use and npm does not bring. Quick when it is there already.
set -euo pipefail
need=()
have() { dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }
# psql, pgbench and pg_dump as people have them; openssl for the certificates of tests.
# rsyslog as a receiver of what outputs send.
# Python for the second verifier of evidence files.
# OpenSSH and its relatives, client and server, without their services.
# The shells that commands are completed in.
# What shell lines that hide something hide it in.
# Chromium and a font for the console's tests.
# Java and Maven for Apache Kafka, whose jars come from a package registry by name.
for package in postgresql-client-15 openssl ca-certificates openjdk-17-jre-headless maven chromium fonts-dejavu-core python3 python3-cryptography rsyslog rsyslog-openssl \
  openssh-client openssh-server openssh-sftp-server sshpass rsync dropbear-bin git zsh fish ansible-core python3-paramiko python3-asyncssh \
  curl make xxd zip unzip jq bsdextrautils; do have "$package" || need+=("$package"); done
kafka() { "$(dirname "${BASH_SOURCE[0]}")/components/kafka/install.sh"; }
[ ${#need[@]} -eq 0 ] && { kafka; exit 0; }
command -v apt-get >/dev/null || { echo "install these yourself, this is not Debian: ${need[*]}" >&2; exit 1; }
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
echo "installing ${need[*]}" >&2
$sudo apt-get -o DPkg::Lock::Timeout=600 -qq update >/dev/null
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $sudo apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends "${need[@]}" >/dev/null
kafka
