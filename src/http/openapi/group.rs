//! The groups of routes: their headings, and the permission that all routes of a group need.

use crate::access::Permission;

/// Routes that belong together.
pub(crate) struct RouteGroup {
    /// Its heading.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// `None` where no credential is needed.
    pub(super) needs: Option<Permission>,
}

/// A group whose routes need a permission.
const fn needing(needs: Permission, name: &'static str, about: &'static str) -> RouteGroup {
    RouteGroup {
        name,
        about,
        needs: Some(needs),
    }
}

/// A group of questions.
const fn asking(name: &'static str, about: &'static str) -> RouteGroup {
    needing(Permission::Search, name, about)
}

impl RouteGroup {
    pub(crate) const EVENTS: Self =
        asking("Events", "Lists, single events, and what belongs to them.");
    pub(crate) const NUMBERS: Self = asking(
        "Numbers",
        "Counts, values and fields. All of them are exact.",
    );
    pub(crate) const QUERIES: Self = asking(
        "Queries",
        "How a query is understood, and queries under a name.",
    );
    pub(crate) const PROFILES: Self = asking("Profiles", "What a value was seen with.");
    pub(crate) const EXPORT: Self = needing(Permission::Export, "Export", "Whole results.");
    pub(crate) const SOURCES: Self =
        asking("Sources", "Where events come from, and what is proven.");
    pub(crate) const ALERTS: Self = asking("Alerts", "What rules found.");
    pub(crate) const ALERT_WORK: Self = needing(
        Permission::Alerts,
        "Work on alerts",
        "Acknowledge, assign and close.",
    );
    pub(crate) const PEOPLE: Self = asking(
        "People",
        "Members and accounts, as upstream's lists said last.",
    );
    pub(crate) const EVIDENCE: Self = asking(
        "Evidence",
        "The transparency logs, for tools that read C2SP's tlog-tiles. With `evidence.public`, without a credential.",
    );
    pub(crate) const PRINCIPAL: Self = asking("Principal", "Who asks.");
    pub(crate) const CLOUDFLARE: Self = asking(
        "Cloudflare's API",
        "The log in Cloudflare's own forms, for its clients. Unknown parameters are ignored. Errors have Cloudflare's envelope.",
    );
    pub(crate) const ADMINISTRATION: Self = needing(
        Permission::Admin,
        "Administration",
        "The access log and the holds.",
    );
    pub(crate) const MONITORING: Self = needing(
        Permission::Metrics,
        "Monitoring",
        "For Prometheus and others that read its formats.",
    );
    pub(crate) const OPERATION: Self = Self {
        name: "Operation",
        about: "Sessions for browsers, health checks, and this description.",
        needs: None,
    };
}
