//! An entry as typed structs: what a program would read that keeps nothing else. The bound that ingestion is measured
//! against.

#![expect(
    dead_code,
    reason = "what is measured is reading the fields, not using them"
)]

use std::borrow::Cow;

use serde::Deserialize;

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) action: Option<Action<'a>>,
    #[serde(borrow)]
    pub(crate) actor: Option<Actor<'a>>,
    #[serde(borrow)]
    pub(crate) raw: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) resource: Option<Resource<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Action<'a> {
    #[serde(borrow)]
    pub(crate) description: Text<'a>,
    #[serde(borrow)]
    pub(crate) result: Text<'a>,
    #[serde(borrow)]
    pub(crate) time: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Actor<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) context: Text<'a>,
    #[serde(borrow)]
    pub(crate) email: Text<'a>,
    #[serde(borrow)]
    pub(crate) ip_address: Text<'a>,
    #[serde(borrow)]
    pub(crate) token_id: Text<'a>,
    #[serde(borrow)]
    pub(crate) token_name: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Raw<'a> {
    #[serde(borrow)]
    pub(crate) cf_ray_id: Text<'a>,
    #[serde(borrow)]
    pub(crate) method: Text<'a>,
    pub(crate) status_code: Option<i64>,
    #[serde(borrow)]
    pub(crate) uri: Text<'a>,
    #[serde(borrow)]
    pub(crate) user_agent: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Resource<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) product: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) request: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    pub(crate) response: Option<&'a serde_json::value::RawValue>,
}
