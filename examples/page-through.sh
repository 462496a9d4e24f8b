#!/bin/sh
# Prints all events of a question, the oldest first, page by page. Fails if some of its time is not covered.
#
#     page-through.sh [QUERY [SINCE [BEFORE]]]
#     page-through.sh 'action.type:delete' 2026-08-01 2026-09-01
#
# It needs curl and jq. ORGTRAIL_URL is where the service answers, and ORGTRAIL_TOKEN is a token with the scope `search`.
set -eu

url=${ORGTRAIL_URL:-http://127.0.0.1:7070}
query=${1:-}
since=${2:-8d}
# The newest minutes are never covered, so the question has an end.
before=${3:-1d}

cursor=
while :; do
    page=$(curl -sS ${ORGTRAIL_TOKEN:+--oauth2-bearer "$ORGTRAIL_TOKEN"} --fail-with-body -G "$url/v1/events" -d order=asc -d limit=1000 \
        --data-urlencode "q=$query" --data-urlencode "since=$since" --data-urlencode "before=$before" \
        ${cursor:+--data-urlencode "cursor=$cursor"}) || {
        # The answer says what is wrong.
        printf '%s\n' "$page" >&2
        exit 1
    }

    # An entry can have any form, so that a value may not be where it usually is.
    printf '%s' "$page" | jq -r '.events[] | [.seq, .time, (.entry.actor.email? // ""), (.entry.action.description? // "")] | @tsv'

    # `complete` and `settling` are proven. Otherwise events may be missing, and the reasons say why.
    coverage=$(printf '%s' "$page" | jq -r .coverage.state)
    if [ "$coverage" = partial ]; then
        printf '%s' "$page" | jq -r '"Not all of it is covered: \(.coverage.missing_by_reason)"' >&2
        exit 1
    fi

    # The same parameters with the cursor give the next page, of the same snapshot.
    cursor=$(printf '%s' "$page" | jq -r '.next_cursor // ""')
    [ -n "$cursor" ] || break
done
