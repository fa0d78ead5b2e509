#!/usr/bin/env bash
# Starts a PostgreSQL server in a directory of its own, runs a program with the connection string as its argument, and
# removes the server.
#
# usage: with_postgresql.sh POSTGRES_SERVER PROGRAM [IGNORED...]
set -euo pipefail
server=$1 program=$2
directory=$(mktemp -d /tmp/rowlock-example-XXXXXX)
trap '"$server" remove "$directory"' EXIT
port=$("$server" start "$directory")
"$program" "host=$directory port=$port user=postgres dbname=postgres"
