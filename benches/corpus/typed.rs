//! An entry as typed structs: what a program would read that keeps nothing else. The bound that ingestion is measured
//! against.

use std::borrow::Cow;

use serde::Deserialize;

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
pub struct Entry<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub action: Option<Action<'a>>,
    #[serde(borrow)]
    pub actor: Option<Actor<'a>>,
    #[serde(borrow)]
    pub raw: Option<Raw<'a>>,
    #[serde(borrow)]
    pub resource: Option<Resource<'a>>,
}

#[derive(Deserialize)]
pub struct Action<'a> {
    #[serde(borrow)]
    pub description: Text<'a>,
    #[serde(borrow)]
    pub result: Text<'a>,
    #[serde(borrow)]
    pub time: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
}

#[derive(Deserialize)]
pub struct Actor<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub context: Text<'a>,
    #[serde(borrow)]
    pub email: Text<'a>,
    #[serde(borrow)]
    pub ip_address: Text<'a>,
    #[serde(borrow)]
    pub token_id: Text<'a>,
    #[serde(borrow)]
    pub token_name: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
}

#[derive(Deserialize)]
pub struct Raw<'a> {
    #[serde(borrow)]
    pub cf_ray_id: Text<'a>,
    #[serde(borrow)]
    pub method: Text<'a>,
    pub status_code: Option<i64>,
    #[serde(borrow)]
    pub uri: Text<'a>,
    #[serde(borrow)]
    pub user_agent: Text<'a>,
}

#[derive(Deserialize)]
pub struct Resource<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub product: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub request: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    pub response: Option<&'a serde_json::value::RawValue>,
}
