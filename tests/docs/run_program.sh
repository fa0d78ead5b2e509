#!/bin/sh
# Runs the README's first program twice in an empty directory: the token must grow from one to the next.
set -eu
program=$(realpath "$1")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
first=$("$program")
second=$("$program")
printf '%s\n%s\n' "$first" "$second"
case $first in "mine until I let go; token "*) ;; *) exit 1 ;; esac
[ "${second##* }" -gt "${first##* }" ]
