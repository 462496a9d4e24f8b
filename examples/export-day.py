#!/usr/bin/env python3
"""Exports the events of one day (UTC) to a file, one JSON object a line. Fails if the day is not covered.

    export-day.py 2026-08-03 events-2026-08-03.ndjson

ORGTRAIL_URL is where the service answers, and ORGTRAIL_TOKEN is a token with the scopes `search` and `export`.
"""

import datetime
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("ORGTRAIL_URL", "http://127.0.0.1:7070")
TOKEN = os.environ.get("ORGTRAIL_TOKEN")


def ask(route, **parameters):
    request = urllib.request.Request(f"{URL}{route}?{urllib.parse.urlencode(parameters)}")
    if TOKEN:
        request.add_header("Authorization", f"Bearer {TOKEN}")
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error}: {error.read().decode(errors='replace')}")


def main(day, path):
    since = datetime.date.fromisoformat(day)
    bounds = {"since": since, "before": since + datetime.timedelta(days=1)}
    # An export is events and nothing else. Their number and coverage come from the same question as a count.
    answer = json.load(ask("/v1/count", **bounds))
    if answer["coverage"]["state"] == "partial":
        sys.exit(f"{day} is not covered: {json.dumps(answer['coverage']['missing_by_reason'])}")
    lines = 0
    with open(f"{path}.part", "wb") as file:
        for line in ask("/v1/export", format="ndjson", order="asc", **bounds):
            file.write(line)
            lines += 1
    # A late entry may have come between the two requests; fewer events would be a loss.
    if lines < answer["count"]:
        sys.exit(f"{lines} of {answer['count']} events came: try again")
    os.replace(f"{path}.part", path)
    print(f"{lines} events, {answer['coverage']['state']}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
