//! The products whose changes audit logs have, and their categories.
//!
//! Upstream's own list needs a credential to read and is not published. This one has the products that are known from
//! public material; a product that is not in it belongs to no category here.

use serde::Serialize;
use utoipa::ToSchema;

/// The categories: `value`, as the filter `product_category` has it, and `label`, for people.
pub const CATEGORIES: &[(&str, &str)] = &[
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

/// The products: the name in `resource.product`, the label, the category.
pub const PRODUCTS: &[(&str, &str, &str)] = &[
    ("access", "Access", "zerotrust"),
    ("account_tokens", "Account API Tokens", "account"),
    ("accounts", "Account Settings", "account"),
    ("alerting", "Notifications", "analytics"),
    ("audit", "Audit Exports", "analytics"),
    ("cache", "Cache", "performance"),
    ("custom_certificates", "Custom Certificates", "ssl"),
    ("d1", "D1", "storage"),
    ("devices", "Devices", "zerotrust"),
    ("dns", "DNS Records", "dns"),
    ("dnssec", "DNSSEC", "dns"),
    ("firewall", "IP Access Rules", "security"),
    ("gateway", "Gateway", "zerotrust"),
    ("healthchecks", "Health Checks", "reliability"),
    ("images", "Images", "media"),
    ("load_balancers", "Load Balancing", "reliability"),
    ("logpush", "Logpush", "analytics"),
    ("members", "Members", "account"),
    ("organizations", "Organizations", "organization"),
    ("page_rules", "Page Rules", "performance"),
    ("pages", "Pages", "developer"),
    ("queues", "Queues", "developer"),
    ("r2", "R2", "storage"),
    ("rate_limits", "Rate Limiting", "security"),
    ("rulesets", "Rulesets", "security"),
    ("ssl", "Certificate Packs", "ssl"),
    ("stream", "Stream", "media"),
    ("tunnels", "Tunnels", "zerotrust"),
    ("turnstile", "Turnstile", "security"),
    ("user_tokens", "User API Tokens", "account"),
    ("vectorize", "Vectorize", "storage"),
    ("workers", "Workers", "developer"),
    ("workers_kv", "Workers KV", "developer"),
    ("zone_settings", "Zone Settings", "performance"),
    ("zones", "Zones", "account"),
];

/// A category as the API writes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CloudflareCategory)]
pub struct CategoryForm {
    /// For people.
    pub label: &'static str,
    /// As the filter has it.
    pub value: &'static str,
    /// The products in it, by their names.
    pub products: Vec<ProductForm>,
}

/// A product as the API writes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CloudflareProduct)]
pub struct ProductForm {
    /// For people.
    pub label: &'static str,
    /// As entries have it.
    pub value: &'static str,
}

/// The names of the products in a category, whatever the case of its letters; none if there is no such category.
pub fn products_in(category: &str) -> impl Iterator<Item = &'static str> {
    PRODUCTS
        .iter()
        .filter(move |(_, _, found)| found.eq_ignore_ascii_case(category))
        .map(|(name, ..)| *name)
}

/// All categories with their products, as the API writes them.
pub fn categories() -> impl Iterator<Item = CategoryForm> {
    CATEGORIES.iter().map(|(value, label)| {
        let products = PRODUCTS.iter().filter(move |(.., found)| found == value);
        CategoryForm {
            label,
            value,
            products: products
                .map(|(name, label, _)| ProductForm { label, value: name })
                .collect(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_product_is_in_one_category_and_each_category_has_some() {
        let told: Vec<_> = categories().collect();
        assert!(told.iter().all(|category| !category.products.is_empty()));
        let told: usize = told.iter().map(|category| category.products.len()).sum();
        assert_eq!(told, PRODUCTS.len());
        assert!(
            PRODUCTS
                .windows(2)
                .all(|products| products[0].0 < products[1].0)
        );
    }

    #[test]
    fn categories_are_found_in_any_case() {
        assert!(products_in("ZeroTrust").any(|name| name == "access"));
        assert_eq!(products_in("nonsense").count(), 0);
    }
}
