#!/bin/sh
# A scheduled job that runs once although several cron tables start it. In each of them:
#
#   0 2 * * *  nightly.sh /var/lib/app
#
# With a SQLite file these are the containers and users of one host; with a database server, all its clients.
set -eu
directory=$1
ROWLOCK_DB=sqlite:$directory/locks.db
export ROWLOCK_DB

rowlock migrate >/dev/null # once for each database; harmless when it is up to date

# Whoever comes second while the job runs ends at once with status 75, which is no failure here. A job of a second
# would be over before a host with a late clock starts it: --hold-at-least keeps the lock for longer than clocks differ.
status=0
rowlock run --no-wait --hold-at-least 10ms nightly -- sh -c '
    echo "the job runs"
    rowlock run --no-wait nightly -- echo "never printed" 2>/dev/null || echo "another one: status $?"
    exit 3
' || status=$?

# The status of the job is passed on.
case $status in
    0) echo "done" ;;
    75) echo "it runs elsewhere" ;;
    *) echo "the job failed with status $status" ;;
esac

: <<'END' Output:
the job runs
another one: status 75
the job failed with status 3
END
