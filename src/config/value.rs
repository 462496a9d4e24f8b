//! One value of the configuration, from the file or from the environment, and its plain kinds: text, whole number, list.
//!
//! A refusal says what the key wants and what was found. What a text or a number means is in `kinds`.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use chrono::NaiveDate;
use toml::de::{DeInteger, DeValue};

use super::error::{KeyMistake, Place, Read};
use crate::wording::quoted;

/// A value that was given for a key.
pub(super) struct Value<'v> {
    key: &'static str,
    place: Place,
    raw: Raw<'v>,
}

enum Raw<'v> {
    /// From the file, or an item of a list.
    Toml(&'v DeValue<'v>),
    /// From the environment: the text itself where text is wanted, else TOML that is still to be parsed.
    Variable(&'v str),
}

impl<'v> Value<'v> {
    pub(super) fn from_toml(key: &'static str, place: Place, value: &'v DeValue<'v>) -> Self {
        Self {
            key,
            place,
            raw: Raw::Toml(value),
        }
    }

    pub(super) fn from_variable(key: &'static str, name: &str, text: &'v str) -> Self {
        Self {
            key,
            place: Place::Variable(name.to_owned()),
            raw: Raw::Variable(text),
        }
    }

    /// The key, as messages name it.
    pub(super) fn key(&self) -> &'static str {
        self.key
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The refusal of this value, with a reason.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(vec![KeyMistake {
            place: self.place.clone(),
            message: message.into(),
        }])
    }

    /// The value as text; `wanted` says in an error what it should have been.
    pub(super) fn text(&self, wanted: &str) -> Read<&'v str> {
        match self.raw {
            Raw::Variable(text) => Ok(text),
            Raw::Toml(DeValue::String(text)) => Ok(text),
            Raw::Toml(other) => self.wrong_kind(wanted, kind_of(other)),
        }
    }

    /// The value as a whole number within `bounds`.
    pub(super) fn whole_number(&self, bounds: RangeInclusive<u32>) -> Read<u32> {
        let toml = self.parsed("a whole number")?;
        let DeValue::Integer(integer) = toml.as_ref() else {
            return self.wrong_kind("a whole number without quotes", kind_of(&toml));
        };
        match to_u32(integer) {
            Some(number) if bounds.contains(&number) => Ok(number),
            _ => self.refuse(format!(
                "`{}` is {}: it goes from {} to {}",
                self.key,
                quoted(&integer.to_string()),
                bounds.start(),
                bounds.end()
            )),
        }
    }

    /// The value as `true` or `false`.
    pub(super) fn truth(&self) -> Read<bool> {
        let toml = self.parsed("`true` or `false`")?;
        match toml.as_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => self.wrong_kind("`true` or `false` without quotes", kind_of(other)),
        }
    }

    /// The value as a list of at most `most` items, each read by `read` and given with its place.
    ///
    /// The mistakes of all items are found.
    pub(super) fn list<T>(
        &self,
        wanted: &str,
        most: usize,
        read: impl Fn(&Value<'_>) -> Read<T>,
    ) -> Read<Vec<(T, Place)>> {
        let toml = self.parsed(wanted)?;
        let DeValue::Array(items) = toml.as_ref() else {
            return self.wrong_kind(wanted, kind_of(&toml));
        };
        if items.len() > most {
            return self.refuse(format!(
                "`{}` has {} items: it takes at most {most}",
                self.key,
                items.len()
            ));
        }
        let mut values = Vec::new();
        let mut findings = Vec::new();
        for item in items.iter() {
            let place = self.place_of_item(item.span().start);
            match read(&Value::from_toml(self.key, place.clone(), item.get_ref())) {
                Ok(value) => values.push((value, place)),
                Err(found) => findings.extend(found),
            }
        }
        if findings.is_empty() {
            Ok(values)
        } else {
            Err(findings)
        }
    }

    /// The value as one of TOML's dates without quotes, without a time of day; `None` when it is something else.
    pub(super) fn toml_date(&self) -> Option<NaiveDate> {
        match self.raw {
            Raw::Toml(DeValue::Datetime(moment)) if moment.time.is_none() => {
                let date = moment.date?;
                NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
            }
            _ => None,
        }
    }

    /// Whether this is a list in the file, for keys that take either a list or a text.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.raw, Raw::Toml(DeValue::Array(_)))
    }

    fn parsed(&self, wanted: &str) -> Read<Cow<'v, DeValue<'v>>> {
        match self.raw {
            Raw::Toml(value) => Ok(Cow::Borrowed(value)),
            Raw::Variable(text) => match DeValue::parse(text.trim()) {
                Ok(value) => Ok(Cow::Owned(value.into_inner())),
                Err(_) => self.wrong_kind(wanted, &quoted(text)),
            },
        }
    }

    /// An item's place in the file; one in the environment is known by its variable alone.
    fn place_of_item(&self, offset: usize) -> Place {
        match &self.place {
            Place::Byte(_) => Place::Byte(offset),
            elsewhere => elsewhere.clone(),
        }
    }

    fn wrong_kind<T>(&self, wanted: &str, found: &str) -> Read<T> {
        self.refuse(format!("`{}` wants {wanted}, not {found}", self.key))
    }
}

fn to_u32(integer: &DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// What kind of value it is, in the words of a message.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(moment) if moment.time.is_some() => "a time of day",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
