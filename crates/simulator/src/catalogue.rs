//! The products whose changes the logs tell of, in tables: one row for each kind of resource.
//!
//! `product` says what a row has, and makes changes from it.

mod account;
mod organization;
mod platform;
mod product;
mod zone;

pub(crate) use organization::ORGANIZATION_PRODUCTS;
pub(crate) use product::{CatalogueChange, Product, Scene};

/// The products of accounts and their zones.
pub(crate) fn account_products() -> impl Iterator<Item = &'static Product> + Clone {
    zone::PRODUCTS
        .iter()
        .chain(account::PRODUCTS)
        .chain(platform::PRODUCTS)
}

/// The product's name, the noun and the kind of the resources whose collection is above a path.
pub(crate) fn product_at(path: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let mut products = account_products().chain(ORGANIZATION_PRODUCTS);
    let product = products.find(|product| product.is_at(path))?;
    Some((product.name, product.noun(), product.kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::chance::Seed;
    use super::super::people::Person;
    use super::super::world::Zone;
    use super::product::RESOURCES;
    use super::*;

    #[test]
    fn every_product_writes_each_of_its_kinds_of_call() {
        let person = Person::new(Seed(1), 1);
        let zone = Zone {
            id: "0".repeat(32),
            name: "example.com".to_owned(),
        };
        let mut rng = Seed(3).rng();
        let products: Vec<_> = account_products().chain(ORGANIZATION_PRODUCTS).collect();
        assert!(products.len() >= 34, "{}", products.len());
        for product in products {
            let mut kinds = BTreeSet::new();
            for _ in 0..400 {
                let change = product.change(Scene {
                    rng: &mut rng,
                    log_seed: Seed(4),
                    account_id: "account",
                    organization_id: "organization",
                    zone: (product.scope == "zones").then_some(&zone),
                    person: &person,
                    now: "2026-08-03T12:00:00Z",
                });
                assert!(!change.uri.contains(['{', '}']), "{}", change.uri);
                assert!(!change.uri.contains("//"), "{}", change.uri);
                assert!(!change.resource_id.is_empty());
                kinds.insert((change.kind, change.method));
            }
            let own = product.calls.iter();
            let own: BTreeSet<_> = own.map(|(_, call)| (call.kind(), call.method())).collect();
            assert_eq!(kinds, own, "{}", product.name);
        }
    }

    #[test]
    fn a_resource_changes_more_than_once() {
        let person = Person::new(Seed(1), 1);
        let product = account_products().next().unwrap();
        let mut rng = Seed(3).rng();
        let mut ids: Vec<_> = (0..500)
            .map(|_| {
                let scene = Scene {
                    rng: &mut rng,
                    log_seed: Seed(4),
                    account_id: "account",
                    organization_id: "organization",
                    zone: None,
                    person: &person,
                    now: "",
                };
                product.change(scene).resource_id
            })
            .collect();
        ids.sort();
        ids.dedup();
        assert!(
            (40..=RESOURCES as usize).contains(&ids.len()),
            "{}",
            ids.len()
        );
    }

    #[test]
    fn every_product_has_a_category() {
        for product in account_products().chain(ORGANIZATION_PRODUCTS) {
            let mut known = orgtrail_cloudflare::product::PRODUCTS.iter();
            let row = known.find(|(name, ..)| *name == product.name);
            assert!(row.is_some(), "product {}", product.name);
        }
    }
}
