#!/usr/bin/env bash
# Starts a PostgreSQL server in a directory of its own, with functions that stand in for SQL Server's applocks, runs a
# program with an ODBC connection string as its argument, and removes the server.
#
# usage: with_applock_stand_in.sh POSTGRES_SERVER FUNCTIONS PROGRAM [IGNORED...]
set -euo pipefail
server=$1 functions=$2 program=$3
directory=$(mktemp -d /tmp/rowlock-example-XXXXXX)
trap '"$server" remove "$directory"' EXIT
port=$("$server" start "$directory")
psql -X -q -v ON_ERROR_STOP=1 -1 -f "$functions" "host=$directory port=$port user=postgres dbname=postgres"
"$program" "DRIVER={PostgreSQL Unicode};SERVER=$directory;PORT=$port;DATABASE=postgres;UID=postgres;UseServerSidePrepare=0;"
