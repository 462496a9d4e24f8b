//! Which resource an entry is about, and which other entries are about the same: the parts of a history.
//!
//! A resource is known by its URI, or, where an entry does not tell one, by its id, product and type.

use orgtrail_cloudflare::paging::HistoryStatus;
use serde_json::Value;

/// A resource that entries tell of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HistoryResource {
    /// By its URI.
    At {
        /// Without host and parameters.
        uri: String,
        /// Its id as JSON, as every entry about it has it.
        needle: String,
    },
    /// By what it is called.
    Named {
        /// `resource.id`
        id: String,
        /// `resource.product`
        product: String,
        /// `resource.type`
        kind: String,
        /// The id as JSON writes it.
        needle: String,
    },
}

impl HistoryResource {
    /// The resource that an entry is about, if the entry identifies one.
    pub(crate) fn of(entry: &str) -> Option<Self> {
        let entry: Value = serde_json::from_str(entry).ok()?;
        let id = text(&entry, "/resource/id")?;
        let needle = Value::from(id).to_string();
        if let Some(uri) = uri_of(&entry, id) {
            return Some(Self::At { uri, needle });
        }
        Some(Self::Named {
            id: id.to_owned(),
            product: text(&entry, "/resource/product")?.to_owned(),
            kind: text(&entry, "/resource/type")?.to_owned(),
            needle,
        })
    }

    /// How well it is known.
    pub(crate) fn status(&self) -> HistoryStatus {
        match self {
            Self::At { .. } => HistoryStatus::Exact,
            Self::Named { .. } => HistoryStatus::Approximate,
        }
    }

    /// Whether an entry is about it. `is_ours` says that the simulator wrote the entry itself, in its one way to write a
    /// text.
    pub(crate) fn is_told_by(&self, entry: &str, is_ours: bool) -> bool {
        let (Self::At { needle, .. } | Self::Named { needle, .. }) = self;
        if is_ours && !entry.contains(needle.as_str()) {
            return false;
        }
        let Ok(entry) = serde_json::from_str::<Value>(entry) else {
            return false;
        };
        match self {
            Self::At { uri, .. } => text(&entry, "/resource/id")
                .and_then(|id| uri_of(&entry, id))
                .is_some_and(|told| told == *uri),
            Self::Named {
                id, product, kind, ..
            } => {
                text(&entry, "/resource/id") == Some(id)
                    && text(&entry, "/resource/product") == Some(product)
                    && text(&entry, "/resource/type") == Some(kind)
            }
        }
    }
}

/// The URI of the resource itself. To create one, the collection is called; its id is then appended to it.
fn uri_of(entry: &Value, id: &str) -> Option<String> {
    let called = text(entry, "/raw/uri")?;
    let called = called.split('?').next().unwrap_or(called);
    let is_inside = called.rsplit('/').next() == Some(id);
    match text(entry, "/raw/method") {
        Some("POST") if !is_inside => Some(format!("{called}/{id}")),
        _ => Some(called.to_owned()),
    }
}

/// A text that is there and not empty.
fn text<'a>(entry: &'a Value, pointer: &str) -> Option<&'a str> {
    entry
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = r#"{"raw":{"method":"POST","uri":"/zones/z/dns_records"},"resource":{"id":"r","product":"dns","type":"record"}}"#;
    const PATCHED: &str = r#"{"raw":{"method":"PATCH","uri":"/zones/z/dns_records/r?x=1"},"resource":{"id":"r","product":"dns","type":"record"}}"#;
    const WITHOUT_CALL: &str = r#"{"resource":{"id":"r","product":"dns","type":"record"}}"#;
    const OTHER_ZONE: &str = r#"{"raw":{"method":"PATCH","uri":"/zones/y/dns_records/r"},"resource":{"id":"r","product":"dns","type":"record"}}"#;

    #[test]
    fn a_resource_is_known_by_its_uri_whatever_was_done_to_it() {
        let resource = HistoryResource::of(CREATED).unwrap();
        assert_eq!(resource.status(), HistoryStatus::Exact);
        assert_eq!(HistoryResource::of(PATCHED).as_ref(), Some(&resource));
        assert!(resource.is_told_by(PATCHED, true));
        assert!(!resource.is_told_by(OTHER_ZONE, true));
        assert!(!resource.is_told_by(WITHOUT_CALL, true));
    }

    #[test]
    fn without_a_uri_a_resource_is_known_by_its_names() {
        let resource = HistoryResource::of(WITHOUT_CALL).unwrap();
        assert_eq!(resource.status(), HistoryStatus::Approximate);
        assert!(resource.is_told_by(PATCHED, false) && resource.is_told_by(OTHER_ZONE, false));
        assert!(!resource.is_told_by(r#"{"resource":{"id":"r","product":"dns"}}"#, false));
    }

    #[test]
    fn an_entry_that_says_too_little_has_no_resource() {
        for entry in [
            "",
            "[]",
            r#"{"resource":{"id":""}}"#,
            r#"{"resource":{"id":"r"}}"#,
        ] {
            assert_eq!(HistoryResource::of(entry), None, "{entry}");
        }
    }
}
