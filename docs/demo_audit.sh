#!/bin/sh
# Can the pinned results be believed, and would a forged digit be seen? Usage: docs/demo_audit.sh [REPOSITORY]
#
# Clones the repository (the one this script lies in, or a path or URL), audits the clone, changes one digit of one
# derived number in one pinned file, and audits again. Ends with 0 if the first audit was green within ten seconds and
# the second red, naming file, key and both values. It uses the repository's .venv, or makes one with 'make venv'.
set -eu

origin=${1:-$(cd "$(dirname "$0")/.." && pwd)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet "$origin" "$folder/symbreak"

if [ -x "$origin/.venv/bin/python" ]; then
    python=$(cd "$origin" && pwd)/.venv/bin/python
else
    make -C "$folder/symbreak" venv
    python=$folder/symbreak/.venv/bin/python
fi
cd "$folder/symbreak"
PYTHONPATH=$PWD/src # the clone's own code, whatever the environment was made for
export PYTHONPATH

audit() { "$python" -c 'from symbreak.cli import app; app()' audit --pinned; }

echo "== The clone as it is: symbreak audit --pinned"
started=$(date +%s)
audit || { echo "demo: the first audit was not green" >&2; exit 1; }
seconds=$(($(date +%s) - started))
echo "green after $seconds s"
[ "$seconds" -le 10 ] || { echo "demo: that took more than 10 s" >&2; exit 1; }

echo
echo "== One digit changed"
"$python" - > "$folder/forged" <<'PYTHON'
import json
import re
from pathlib import Path

from symbreak.files import write_json

for path in sorted(Path("results/pinned").glob("*/*.json")):
    pin = json.loads(path.read_text())
    for name, part in pin["claim_file"]["parts"].items():
        if part["low"]:
            old = part["low"]
            part["low"] = float(re.sub("[1-9]", lambda digit: str(int(digit[0]) % 9 + 1), repr(old), count=1))
            write_json(path, pin)
            print(path, f"claim_file.parts.{name}.low", repr(old), repr(part["low"]), sep="\n")
            raise SystemExit
PYTHON
{ read -r file; read -r key; read -r old; read -r new; } < "$folder/forged"
echo "$file: $key: $old -> $new"

echo
echo "== The forged clone: symbreak audit --pinned"
if audit > "$folder/report"; then
    echo "demo: the forged digit was not seen" >&2
    exit 1
fi
grep -F -A 2 "recomputed" "$folder/report" | grep -F -A 2 "$file: $key" > "$folder/named" || true
cat "$folder/report"
grep -q -F "expected $old" "$folder/named" && grep -q -F "found    $new" "$folder/named" ||
    { echo "demo: red, but not for the forged digit" >&2; exit 1; }
echo "red, as it must be: $key in $file should be $old and is $new"
