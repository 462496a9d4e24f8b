//! The application as the principal of one request sees it.
//!
//! A handler that answers from the log takes a [`ScopedApp`] instead of `State<AppState>`: a view, a caller and a scope exist
//! only there, so that no handler can leave the principal out.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::principal::Principal;
use super::problem::Problem;
use super::state::AppState;
use crate::engine::{Caller, Scope, View};
use crate::position::Seq;
use crate::search;

/// The application, and what a principal may see of the log. A clone costs a few reference counts.
#[derive(Clone)]
pub(super) struct ScopedApp {
    app: AppState,
    scope: Scope,
    /// The name of the principal.
    principal: Arc<str>,
}

impl Deref for ScopedApp {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.app
    }
}

impl FromRequestParts<AppState> for ScopedApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        // `guard::check` adds the principal. A route without that layer has none, and answers nothing.
        let principal = parts.extensions.get::<Principal>();
        let principal = principal.ok_or_else(Problem::internal)?;
        Ok(Self::new(app.clone(), principal))
    }
}

impl ScopedApp {
    /// What `principal` may see of `app`.
    pub(super) fn new(app: AppState, principal: &Principal) -> Self {
        Self {
            app,
            scope: principal.scope(),
            principal: principal.name().into(),
        }
    }

    /// What the principal may see.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What one question may use: the newest view, and a caller with the principal's scope and the question's deadline.
    pub(super) fn asking(&self) -> (View, Caller) {
        let view = self.app.engine.view();
        let caller = view.caller(self.scope.clone(), Some(self.app.deadline()));
        (view, caller)
    }

    /// The newest event up to `upto` that the principal may see.
    pub(super) fn newest(&self, view: &View, caller: &Caller, upto: Seq) -> Result<Seq, Problem> {
        Ok(search::newest(&self.app.store, view, caller, upto)?)
    }

    /// The newest event in the log that the principal may see.
    pub(super) fn head(&self) -> Result<Seq, Problem> {
        Ok(search::newest_held(&self.app.store, &self.scope)?)
    }

    /// As [`AppState::ask`], for the principal.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let scoped = self.clone();
        let question = move |app: &AppState| question(&scoped.with(app));
        self.app.ask(question).await
    }

    /// As [`AppState::export`], for the principal.
    pub(super) async fn export<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let scoped = self.clone();
        let piece = move |app: &AppState| piece(&scoped.with(app));
        self.app.export(&self.principal, piece).await
    }

    /// As [`AppState::tail`], for the principal.
    pub(super) async fn tail<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let scoped = self.clone();
        let piece = move |app: &AppState| piece(&scoped.with(app));
        self.app.tail(&self.principal, piece).await
    }

    /// The same principal with the state of the work that is under way.
    fn with(self, app: &AppState) -> Self {
        Self {
            app: app.clone(),
            ..self
        }
    }
}
