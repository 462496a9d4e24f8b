//! Upstream's filters, in one table: their names, where in an entry each looks, which logs have them.
//!
//! Each row is two parameters: `name` keeps what it matches, `name.not` drops it. Names and their twins are those of upstream's
//! reference for the two audit log routes: 18 in an organization's log, 22 and `product_category` in an account's.
//! It does not know how a filter is applied: the simulated upstream tests entries one by one, a search asks the index.

use crate::parameters::Parameters;
use crate::product::products_in;
use crate::source::SourceKind;

/// The most values of all filters of a request together.
const MAX_VALUES: usize = 500;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    /// The parameter's name.
    pub name: &'static str,
    /// The dotted path in an entry whose value it is compared with.
    pub path: &'static str,
    /// Whether organizations' logs have it; accounts' logs have all.
    pub in_organizations: bool,
    /// Whether it has a `.not` twin.
    pub has_not: bool,
}

/// Whether a filter keeps or drops what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// `name=`
    Keeps,
    /// `name.not=`
    Drops,
}

/// A filter that both kinds of log have, in both senses.
const fn both(name: &'static str, path: &'static str) -> Filter {
    Filter {
        name,
        path,
        in_organizations: true,
        has_not: true,
    }
}

/// A filter that only accounts' logs have.
const fn account(name: &'static str, path: &'static str) -> Filter {
    Filter {
        in_organizations: false,
        ..both(name, path)
    }
}

/// Named after a category of products; what it matches is united with what `resource_product` does.
pub const PRODUCT_CATEGORY: &str = "product_category";

/// All filters.
pub const FILTERS: &[Filter] = &[
    both("id", "id"),
    account("audit_log_id", "id"),
    both("action_result", "action.result"),
    both("action_type", "action.type"),
    both("actor_context", "actor.context"),
    both("actor_type", "actor.type"),
    both("actor_email", "actor.email"),
    both("actor_id", "actor.id"),
    both("actor_ip_address", "actor.ip_address"),
    both("actor_token_id", "actor.token_id"),
    both("actor_token_name", "actor.token_name"),
    both("raw_cf_ray_id", "raw.cf_ray_id"),
    both("raw_method", "raw.method"),
    both("raw_uri", "raw.uri"),
    both("raw_status_code", "raw.status_code"),
    both("resource_id", "resource.id"),
    both("resource_product", "resource.product"),
    both("resource_type", "resource.type"),
    both("resource_scope", "resource.scope"),
    account("account_name", "account.name"),
    account("zone_id", "zone.id"),
    account("zone_name", "zone.name"),
    Filter {
        has_not: false,
        ..account(PRODUCT_CATEGORY, "resource.product")
    },
];

/// The filter with this parameter name, in any log.
#[must_use]
pub fn by_name(name: &str) -> Option<(&'static Filter, Sense)> {
    let (plain, sense) = match name.strip_suffix(".not") {
        Some(plain) => (plain, Sense::Drops),
        None => (name, Sense::Keeps),
    };
    let filter = FILTERS.iter().find(|filter| filter.name == plain)?;
    (sense == Sense::Keeps || filter.has_not).then_some((filter, sense))
}

/// What the filters of a request look for at one path: united over all parameters that look there in one sense, such as the
/// deprecated name of `id`, and categories with the products beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The parameter that was given first.
    pub filter: &'static Filter,
    /// Whether what has one of the values is kept or dropped.
    pub sense: Sense,
    /// The values, of which one must be there.
    pub values: Vec<String>,
}

/// The filters among a request's parameters. Values of one are alternatives, and all parameters must hold. A name that this
/// kind of log does not have is ignored, as upstream ignores every parameter it does not know.
///
/// # Errors
/// Says what is wrong with a value.
pub fn read(kind: SourceKind, parameters: &Parameters) -> Result<Vec<Wanted>, String> {
    let mut found: Vec<Wanted> = Vec::new();
    let mut n_values = 0;
    for (name, value) in parameters {
        let Some((filter, sense)) = by_name(name).filter(|(filter, _)| filter.is_in(kind)) else {
            continue;
        };
        n_values += 1;
        if n_values > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} filter values"));
        }
        let values = values(filter, value)?;
        let is_same =
            |other: &&mut Wanted| other.filter.path == filter.path && other.sense == sense;
        match found.iter_mut().find(is_same) {
            Some(wanted) => wanted.values.extend(values),
            None => found.push(Wanted {
                filter,
                sense,
                values,
            }),
        }
    }
    Ok(found)
}

/// What a value stands for: itself, or the products of a category.
fn values(filter: &Filter, value: &str) -> Result<Vec<String>, String> {
    if filter.name != PRODUCT_CATEGORY {
        return Ok(vec![value.to_owned()]);
    }
    let products: Vec<String> = products_in(value).map(str::to_owned).collect();
    match products.is_empty() {
        true => Err(format!("{value:?} is not a product category")),
        false => Ok(products),
    }
}

impl Filter {
    /// Whether that kind of log has it upstream.
    #[must_use]
    pub fn is_in(&self, kind: SourceKind) -> bool {
        kind == SourceKind::Account || self.in_organizations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_has_this_many_parameters() {
        let of = |kind: SourceKind| {
            let names = FILTERS.iter().map(|filter| filter.name.to_owned());
            let nots = FILTERS.iter().map(|filter| filter.name.to_owned() + ".not");
            let found = names.chain(nots).filter_map(|name| by_name(&name));
            found.filter(|(filter, _)| filter.is_in(kind)).count()
        };
        // Since, before, direction, limit and cursor are counted too.
        assert_eq!(of(SourceKind::Organization) + 5, 41);
        assert_eq!(of(SourceKind::Account) + 5, 50);
    }
}
