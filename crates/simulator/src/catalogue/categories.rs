//! How the categories of products, and the products in them, are called for people.
//!
//! Which product is in which category is said by the products themselves.

/// The categories: `value`, as filters name it, and `label`.
pub(crate) const CATEGORIES: &[(&str, &str)] = &[
    ("account", "Account"),
    ("analytics", "Analytics & Logs"),
    ("developer", "Developer Platform"),
    ("dns", "DNS"),
    ("media", "Media"),
    ("organization", "Organization"),
    ("performance", "Performance"),
    ("reliability", "Reliability"),
    ("security", "Application Security"),
    ("ssl", "SSL/TLS"),
    ("storage", "Storage & Databases"),
    ("zerotrust", "Zero Trust"),
];

/// What a product is called, by its name in entries.
pub(crate) fn label_of(product: &str) -> &'static str {
    let row = LABELS.iter().find(|(name, _)| *name == product);
    row.map_or("", |(_, label)| label)
}

const LABELS: &[(&str, &str)] = &[
    ("access", "Access"),
    ("account_tokens", "Account API Tokens"),
    ("accounts", "Account Settings"),
    ("alerting", "Notifications"),
    ("audit", "Audit Exports"),
    ("cache", "Cache"),
    ("custom_certificates", "Custom Certificates"),
    ("d1", "D1"),
    ("devices", "Devices"),
    ("dns", "DNS Records"),
    ("dnssec", "DNSSEC"),
    ("firewall", "IP Access Rules"),
    ("gateway", "Gateway"),
    ("healthchecks", "Health Checks"),
    ("images", "Images"),
    ("load_balancers", "Load Balancing"),
    ("logpush", "Logpush"),
    ("members", "Members"),
    ("organizations", "Organizations"),
    ("page_rules", "Page Rules"),
    ("pages", "Pages"),
    ("queues", "Queues"),
    ("r2", "R2"),
    ("rate_limits", "Rate Limiting"),
    ("rulesets", "Rulesets"),
    ("ssl", "Certificate Packs"),
    ("stream", "Stream"),
    ("tunnels", "Tunnels"),
    ("turnstile", "Turnstile"),
    ("user_tokens", "User API Tokens"),
    ("vectorize", "Vectorize"),
    ("workers", "Workers"),
    ("workers_kv", "Workers KV"),
    ("zone_settings", "Zone Settings"),
    ("zones", "Zones"),
];

#[cfg(test)]
mod tests {
    use super::super::{ORGANIZATION_PRODUCTS, account_products};
    use super::*;

    #[test]
    fn every_product_and_category_has_a_label() {
        for product in account_products().chain(ORGANIZATION_PRODUCTS) {
            let (name, category) = (product.name, product.category);
            assert!(!label_of(name).is_empty(), "product {name}");
            let row = CATEGORIES.iter().find(|(value, _)| *value == category);
            assert!(row.is_some(), "category {category}");
        }
    }
}
