// Reads an account's log from an orgtrail with Cloudflare's own TypeScript client, and prints what it found as JSON.
//
// Usage: read.mjs BASE_URL TOKEN ACCOUNT SINCE BEFORE, the last two as dates. NODE_MODULES is the folder of the client.

import { createRequire } from "node:module";

const Cloudflare = createRequire(process.env.NODE_MODULES + "/")("cloudflare");
const [baseURL, apiToken, account_id, since, before] = process.argv.slice(2);
const client = new Cloudflare({ apiToken, baseURL, maxRetries: 0, timeout: 60000 });
const audit = client.accounts.logs.audit;
const window = { account_id, since, before };

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

const entries = await all(audit.list({ ...window, limit: 50, direction: "asc" }));
const without = await all(audit.list({ ...window, limit: 1000, action_type: { not: ["delete"] } }));
const deletes = await all(audit.list({ ...window, limit: 50 }, { query: { ...window, limit: 50, account_id: undefined, action_type: ["delete"] } }));
const own = entries.find((entry) => entry.resource?.id && entry.action?.time);
const history = await audit.history(own.id, { ...window, action_time: own.action.time, limit: 1000 });
const categories = await all(audit.productCategories({ account_id }));
console.log(
  JSON.stringify({
    ids: entries.map((entry) => entry.id ?? null),
    without: without.length,
    deletes: deletes.length,
    in_history: history.some((entry) => entry.id === own.id),
    categories: categories.length > 0,
  }),
);
