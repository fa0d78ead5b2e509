#!/bin/sh
# expect_status.sh STATUS COMMAND...: succeeds if the command ends with that exit status.
wanted=$1
shift
"$@"
got=$?
[ "$got" -eq "$wanted" ] || {
    echo "exit status $got instead of $wanted" >&2
    exit 1
}
