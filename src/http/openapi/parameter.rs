//! Parameters: those that routes have in common, each once, and those of one route.

use orgtrail_cloudflare::filter::{FILTERS, Filter, PRODUCT_CATEGORY};
use serde_json::{Map, Value, json};

/// A parameter of one route.
pub(crate) struct Parameter(Value);

/// What a parameter's values are.
#[derive(Clone, Copy)]
pub(crate) enum ParameterKind {
    Text,
    /// A text that may be repeated.
    Texts,
    /// A number in a range, and the one that counts when none is given.
    Number {
        least: u64,
        most: u64,
        default: u64,
    },
    /// A place in the log.
    Place,
    /// A part of the path that is never empty, with an example.
    Name(&'static str),
    Flag,
    /// One of some words. The first is the default.
    Word(&'static [&'static str]),
    /// One of some words, or none.
    OneOf(&'static [&'static str]),
}

impl ParameterKind {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Number {
                least,
                most,
                default,
            } => json!({"type": "integer", "minimum": least, "maximum": most, "default": default}),
            Self::Place => json!({"type": "integer", "format": "int64", "minimum": 0}),
            Self::Name(_) => json!({"type": "string", "minLength": 1}),
            Self::Flag => json!({"type": "boolean", "default": false}),
            Self::OneOf(words) => json!({"type": "string", "enum": words}),
            Self::Word(words) => json!({"type": "string", "enum": words, "default": words.first()}),
        }
    }
}

impl Parameter {
    pub(super) fn into_value(self) -> Value {
        self.0
    }

    /// With a value that shows what is meant. A request that is tried has it.
    pub(crate) fn such_as(mut self, example: impl Into<Value>) -> Self {
        self.0["example"] = example.into();
        self
    }

    /// Without which the request is wrong.
    pub(crate) fn required(mut self) -> Self {
        self.0["required"] = true.into();
        self
    }
}

/// A parameter after the `?`.
pub(crate) fn query(name: &str, kind: ParameterKind, about: &str) -> Parameter {
    Parameter(json!({"name": name, "in": "query", "description": about, "schema": kind.schema()}))
}

/// A header of a request.
pub(crate) fn header(name: &str, kind: ParameterKind, about: &str) -> Parameter {
    Parameter(json!({"name": name, "in": "header", "description": about, "schema": kind.schema()}))
}

/// A part of the path.
pub(crate) fn path(name: &str, kind: ParameterKind, about: &str) -> Parameter {
    let schema = kind.schema();
    let example = match kind {
        ParameterKind::Name(example) => json!(example),
        _ => json!(2),
    };
    let parameter = json!({
        "name": name, "in": "path", "required": true,
        "description": about, "schema": schema, "example": example,
    });
    Parameter(parameter)
}

/// A reference to a parameter that routes have in common.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// The parameters that routes have in common, by their names.
pub(super) fn shared() -> Value {
    let own = OWN.map(|(name, kind, about)| query(name, kind, about).into_value());
    let upstream = FILTERS
        .iter()
        .flat_map(of_filter)
        .map(Parameter::into_value);
    let all = own.into_iter().chain(upstream);
    let by_name = all.map(|parameter| {
        (
            parameter["name"].as_str().unwrap_or_default().to_owned(),
            parameter,
        )
    });
    by_name.collect::<Map<_, _>>().into()
}

/// The names of upstream's filters that are `wanted`, with their twins.
pub(super) fn upstream_names(wanted: impl Fn(&Filter) -> bool) -> impl Iterator<Item = String> {
    let filters = FILTERS.iter().filter(move |filter| wanted(filter));
    filters.flat_map(|filter| {
        let twin = filter.has_not.then(|| format!("{}.not", filter.name));
        std::iter::once(filter.name.to_owned()).chain(twin)
    })
}

/// A filter of upstream's, and its twin.
fn of_filter(filter: &Filter) -> Vec<Parameter> {
    let (name, path) = (filter.name, filter.path);
    if name == PRODUCT_CATEGORY {
        let about = "Under `/client/v4`: entries of the products of this category. Under `/v1` it is refused, because only Cloudflare knows what belongs to a category.";
        return vec![query(name, ParameterKind::Texts, about)];
    }
    let keeps = format!("Entries whose `{path}` is this value. Repeated for OR.");
    let drops =
        format!("Without the entries whose `{path}` is this value. Repeated for more values.");
    vec![
        query(name, ParameterKind::Texts, &keeps),
        query(&format!("{name}.not"), ParameterKind::Texts, &drops),
    ]
}

/// How many values are counted beside a page.
const SIZE: ParameterKind = ParameterKind::Number {
    least: 1,
    most: 1_000,
    default: 10,
};

/// How many results a page has.
const LIMIT: ParameterKind = ParameterKind::Number {
    least: 0,
    most: 1_000,
    default: 50,
};

/// The parameters of `/v1` that routes have in common.
const OWN: [(&str, ParameterKind, &str); 21] = [
    (
        "q",
        ParameterKind::Text,
        "A query in the query language: `action.type:delete -resource.product:dns`.",
    ),
    (
        "since",
        ParameterKind::Text,
        "From when on: a time, a date, `now-7d`, `now/d`, or a span before now such as `7d`.",
    ),
    (
        "before",
        ParameterKind::Text,
        "Until when, in the same forms. An event of this very moment is not among them.",
    ),
    (
        "tz",
        ParameterKind::Text,
        "The IANA name of the time zone of dates, of `/d` and of a histogram. Default `UTC`.",
    ),
    (
        "actor",
        ParameterKind::Texts,
        "Entries in whose `actor` this is a whole value, or words of a text. Repeated for OR.",
    ),
    (
        "action",
        ParameterKind::Texts,
        "Entries in whose `action` this is a whole value, or words of a text. Repeated for OR.",
    ),
    (
        "resource",
        ParameterKind::Texts,
        "Entries in whose `resource` this is a whole value, or words of a text. Repeated for OR.",
    ),
    (
        "source",
        ParameterKind::Texts,
        "Events of that source: `organizations/ID` or `accounts/ID`. Repeated for OR.",
    ),
    (
        "revision",
        ParameterKind::Word(&["all", "latest"]),
        "`latest`: of each id only the last revision.",
    ),
    (
        "order",
        ParameterKind::Word(&["desc", "asc"]),
        "The newest or the oldest first.",
    ),
    (
        "limit",
        LIMIT,
        "The most results of a page. 0 returns the numbers alone.",
    ),
    (
        "cursor",
        ParameterKind::Text,
        "`next_cursor` of the page before. The other parameters stay the same.",
    ),
    (
        "count",
        ParameterKind::Flag,
        "Whether all results are counted beside the page.",
    ),
    (
        "facet",
        ParameterKind::Texts,
        "A field whose most frequent values are counted beside the page. Repeated for more fields, up to 20.",
    ),
    ("facet_size", SIZE, "The most values of each `facet`."),
    (
        "facet_sort",
        ParameterKind::Word(&["frequent", "rare"]),
        "Which values of each `facet` come first: the most frequent, or the rarest.",
    ),
    (
        "exclude_own",
        ParameterKind::Flag,
        "Whether what the question says of a field is left out when the values of that field are counted.",
    ),
    (
        "histogram_by",
        ParameterKind::Text,
        "A field by whose ten most frequent values each bucket of `histogram` is split.",
    ),
    (
        "fields",
        ParameterKind::Texts,
        "The paths of entries that are wanted, with commas between them. Repeated for more paths, up to 100.",
    ),
    (
        "highlight",
        ParameterKind::Flag,
        "Whether each event says where it has what is asked for.",
    ),
    (
        "histogram",
        ParameterKind::Text,
        "Counts over time beside the page: `auto`, or a span such as `6h`.",
    ),
];
