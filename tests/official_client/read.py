"""Reads an account's log from an orgtrail with Cloudflare's own Python client, and prints what it found as JSON.

Usage: read.py BASE_URL TOKEN ACCOUNT SINCE BEFORE, the last two as dates.
"""

import json
import sys

from cloudflare import Cloudflare

base_url, token, account, since, before = sys.argv[1:]
client = Cloudflare(api_token=token, base_url=base_url, max_retries=0, timeout=60)
audit = client.accounts.logs.audit
window = {"account_id": account, "since": since, "before": before}

entries = list(audit.list(**window, limit=50, direction="asc"))
without = list(audit.list(**window, limit=1000, action_type={"not": ["delete"]}))
deletes = list(audit.list(**window, limit=50, extra_query={"action_type": ["delete"]}))
own = next(entry for entry in entries if entry.resource and entry.resource.id and entry.action.time)
history = audit.history(own.id, **window, action_time=own.action.time, limit=1000)
found = {
    "ids": [entry.id for entry in entries],
    "without": len(without),
    "deletes": len(deletes),
    "in_history": own.id in [entry.id for entry in history],
    "categories": len(list(audit.product_categories(account_id=account))) > 0,
}
print(json.dumps(found))
