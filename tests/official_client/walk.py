"""Walks through the simulated API with Cloudflare's own client, which knows nothing of it but its address.

Usage: walk.py BASE_URL. Ends with status 0 when everything was as it should be, and says what was not otherwise.
"""

import sys
from datetime import datetime, timedelta, timezone

import cloudflare
from cloudflare import Cloudflare

PROFILE = {
    "business_address": "Zürichstraße 5, 8001 Zürich",
    "business_email": "ops@example.org",
    "business_name": "株式会社サンプル",
    "business_phone": "+41 44 000 00 00",
    "external_metadata": "",
}
NOBODY = "0" * 32


def refused(status, call):
    """Makes a call that must be refused, and gives what the server said."""
    try:
        call()
    except cloudflare.APIStatusError as error:
        assert error.status_code == status, f"{error.status_code} instead of {status}: {error}"
        return str(error)
    raise AssertionError(f"a call that should be refused with {status} was not")


def members_path(organization_id, rest=""):
    return f"/organizations/{organization_id}/members{rest}"


def organizations(client):
    """Makes organizations, one below the other, and finds them again."""
    made = client.organizations.create(name="Python Example", profile=PROFILE)
    below = client.organizations.create(name="Python Example, a part", parent={"id": made.id})
    assert below.parent.id == made.id and below.parent.name == made.name
    assert below.meta.hierarchy_tags == [made.id, below.id]
    assert client.organizations.get(made.id).profile.business_name == PROFILE["business_name"]

    found = client.organizations.list(name={"starts_with": "python", "contains": "PART"})
    assert [one.id for one in found] == [below.id]
    assert [one.id for one in client.organizations.list(parent={"id": made.id})] == [below.id]
    assert [one.id for one in client.organizations.list(containing={"organization": below.id})] == [made.id]
    roots = [one.id for one in client.organizations.list(parent={"id": "null"}, page_size=100)]
    assert made.id in roots and below.id not in roots
    by_id = client.organizations.list(id=[made.id, below.id])
    assert {one.id for one in by_id} == {made.id, below.id}

    renamed = client.organizations.update(below.id, name="Python Example, renamed")
    assert renamed.name == "Python Example, renamed" and renamed.parent.id == made.id
    refused(404, lambda: client.organizations.get(NOBODY))
    return made, below


def profile(client, organization_id):
    changed = {**PROFILE, "external_metadata": "seen by Python"}
    client.organizations.organization_profile.update(organization_id, **changed)
    assert client.organizations.organization_profile.get(organization_id).to_dict() == changed


def members(client, organization_id):
    """The client has no methods for members, so they are called by their paths, as its README shows."""
    wanted = {"member": {"user": {"email": "ann@example.com"}, "status": "active"}}
    one = client.post(members_path(organization_id), body=wanted, cast_to=object)["result"]
    assert one["status"] == "active" and one["user"]["email"] == "ann@example.com"
    several = {"members": [{"user": {"email": f"member{n}@example.com"}} for n in range(25)]}
    path = members_path(organization_id, ":batchCreate")
    batch = client.post(path, body=several, cast_to=object)["result"]
    assert len(batch) == 25

    page = client.get(
        members_path(organization_id), cast_to=object, options={"params": {"page_size": 10}}
    )
    assert len(page["result"]) == 10 and page["result_info"]["total_size"] == 26
    assert page["result_info"]["next_page_token"]
    found = client.get(
        members_path(organization_id),
        cast_to=object,
        options={"params": {"user.email.startsWith": "ANN", "status": "active"}},
    )
    assert [member["id"] for member in found["result"]] == [one["id"]]
    return [one] + batch


def log(client, organization_id, window, expected):
    """Reads all pages of a log, oldest first, three entries a page."""
    entries = list(
        client.organizations.logs.audit.list(
            organization_id, **window, direction="asc", limit=3
        )
    )
    told = [entry.action.description for entry in entries]
    assert told == expected, told
    for entry in entries:
        assert entry.organization.id == organization_id
        assert entry.actor.context == "api_token" and entry.actor.token_id
        assert entry.raw.user_agent.startswith("Cloudflare/Python")
        assert entry.raw.cf_rayid and entry.raw.status_code == 200
    without = client.organizations.logs.audit.list(
        organization_id, **window, action_type={"not": ["create", "delete"]}
    )
    assert {entry.action.type for entry in without} <= {"update"}
    return entries


def history(client, organization_id, entry, window, expected):
    changes = client.organizations.logs.audit.history(
        entry.id,
        organization_id=organization_id,
        action_time=entry.action.time,
        direction="asc",
        **window,
    )
    told = [change.action.description for change in changes]
    assert told == expected, told


def accounts(client, window):
    """Reads a seeded account's log through several pages, and its categories of products."""
    seeded = next(iter(client.organizations.list()))
    listed = client.get(
        f"/organizations/{seeded.id}/accounts",
        cast_to=object,
        options={"params": {"order_by": "account_name", "include_tags": "true"}},
    )["result"]
    names = [account["name"] for account in listed]
    assert names == sorted(names) and all(account["tags"] for account in listed)
    account_id = listed[0]["id"]
    audit = client.accounts.logs.audit
    entries = list(audit.list(account_id=account_id, **window, limit=50))
    assert len(entries) > 100, len(entries)
    assert len({entry.id for entry in entries}) == len(entries)
    assert all(entry.account.id == account_id for entry in entries)
    categories = list(audit.product_categories(account_id=account_id))
    assert any(category.value == "dns" and category.products for category in categories)
    named = client.get(
        f"/accounts/{account_id}/logs/audit",
        cast_to=object,
        options={"params": {**window, "product_category": "ZeroTrust", "limit": 1000}},
    )
    zero_trust = next(category for category in categories if category.value == "zerotrust")
    products = {product.value for product in zero_trust.products}
    assert {entry["resource"]["product"] for entry in named["result"]} <= products


def main(base_url):
    # Every call is answered by this machine: a refusal is meant, and is not tried again.
    client = Cloudflare(api_token="any-token", base_url=base_url, max_retries=0, timeout=30)
    now = datetime.now(timezone.utc)
    window = {
        "since": (now - timedelta(days=30)).isoformat(),
        "before": (now + timedelta(hours=1)).isoformat(),
    }
    made, below = organizations(client)
    profile(client, made.id)
    joined = members(client, made.id)
    said = refused(400, lambda: client.organizations.delete(made.id))
    assert "not empty" in said, said
    for member in joined:
        client.delete(members_path(made.id, f"/{member['id']}"), cast_to=object)
    client.organizations.delete(below.id)
    assert client.organizations.delete(made.id).id == made.id
    refused(404, lambda: client.organizations.get(made.id))

    # What happened is kept longer than the organization.
    left = ["Delete Member"] * 26 + ["Delete organization"]
    added = ["Create organization", "Modify organization profile", "Add Member", "Add Members"]
    entries = log(client, made.id, window, added + left)
    history(client, made.id, entries[2], window, ["Add Member", "Delete Member"])
    log(client, below.id, window, ["Create organization", "Modify organization", "Delete organization"])
    accounts(client, window)

    stranger = Cloudflare(api_token="not a token", base_url=base_url, max_retries=0)
    refused(400, lambda: stranger.organizations.get(made.id))
    by_key = Cloudflare(api_email="ann@example.com", api_key="k" * 37, base_url=base_url)
    assert by_key.organizations.list(page_size=1).result
    print("all as it should be, with version", cloudflare.__version__)


main(sys.argv[1])
