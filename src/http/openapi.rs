//! The description of the API: the OpenAPI 3.1 document, and the page that is made from it.
//!
//! Each file of routes describes its own, beside their handlers ([`Route`]). The schemas are made from the types that are
//! serialized. This module joins the descriptions. It does not know the routes.

mod document;
mod form;
mod group;
mod html;
mod members;
mod operation;
mod page;
mod parameter;
mod read;
mod refusals;
mod route;
mod sample;
mod schemas;
mod serve;
mod shared;

pub(super) use self::group::RouteGroup;
pub(super) use self::parameter::{Parameter, ParameterKind, header, path, query};
pub(super) use self::route::{Route, by_get_or_post};
pub(super) use self::serve::{Description, describe, routes};
