//! A feed as Atom (RFC 4287).

use std::fmt::{self, Write as _};

use super::feed::{Feed, FeedEntry};
use crate::position::rfc3339;

/// The feed as XML.
pub(super) fn write(feed: &Feed) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    // Writing to a string does not fail.
    write_feed(&mut xml, feed).unwrap_or_default();
    xml
}

fn write_feed(xml: &mut String, feed: &Feed) -> fmt::Result {
    xml.push_str("<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    element(xml, "id", &feed.id)?;
    element(xml, "title", &feed.title)?;
    element(xml, "updated", &rfc3339(feed.updated))?;
    xml.push_str("<author><name>orgtrail</name></author>\n");
    element(xml, "generator", "orgtrail")?;
    if let Some(url) = &feed.url {
        let url = XmlText(url.as_str());
        writeln!(
            xml,
            "<link rel=\"self\" type=\"application/atom+xml\" href=\"{url}\"/>"
        )?;
    }
    if let Some(home) = &feed.home {
        let home = XmlText(home.as_str());
        writeln!(
            xml,
            "<link rel=\"alternate\" type=\"text/html\" href=\"{home}\"/>"
        )?;
    }
    for entry in &feed.entries {
        write_entry(xml, entry)?;
    }
    xml.push_str("</feed>\n");
    Ok(())
}

fn write_entry(xml: &mut String, entry: &FeedEntry) -> fmt::Result {
    xml.push_str("<entry>\n");
    element(xml, "id", &entry.id)?;
    element(xml, "title", &entry.title)?;
    element(xml, "updated", &rfc3339(entry.updated))?;
    element(xml, "published", &rfc3339(entry.alert.raised_at))?;
    if let Some(url) = &entry.url {
        let url = XmlText(url.as_str());
        writeln!(
            xml,
            "<link rel=\"alternate\" type=\"text/html\" href=\"{url}\"/>"
        )?;
    }
    let rule = &entry.alert.rule;
    for term in [rule.level.as_str()]
        .into_iter()
        .chain(rule.tags.iter().map(String::as_str))
    {
        writeln!(xml, "<category term=\"{}\"/>", XmlText(term))?;
    }
    element(xml, "summary", &entry.alert.summary)?;
    let text = entry.text();
    writeln!(xml, "<content type=\"text\">{}</content>", XmlText(&text))?;
    xml.push_str("</entry>\n");
    Ok(())
}

fn element(xml: &mut String, name: &str, text: &str) -> fmt::Result {
    writeln!(xml, "<{name}>{}</{name}>", XmlText(text))
}

/// A text in XML, also in an attribute. Characters that XML 1.0 does not have become `�`.
struct XmlText<'t>(&'t str);

impl fmt::Display for XmlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\r' => f.write_str("&#13;")?,
                '\t' | '\n' => f.write_char(c)?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup_or_a_character_that_xml_does_not_have() {
        let text = "a<b>&\"'\u{0}\u{1b}\u{ffff}\r\n\té";
        let expect = "a&lt;b&gt;&amp;&quot;'\u{fffd}\u{fffd}\u{fffd}&#13;\n\té";
        assert_eq!(XmlText(text).to_string(), expect);
    }
}
