//! Matches rule ids with wildcards.

/// Whether `text` fits `pattern`, in which `*` stands for any characters and `?` for one. ASCII case is ignored.
///
/// Takes at most as many steps as the product of both lengths.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // After a `*`: where the pattern goes on, and what of the text the `*` has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || c.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, t) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_ids() {
        for (pattern, text, expect) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("A?c", "aBC", true),
            ("*", "", true),
            ("cf-*-token", "cf-new-api-token", true),
            ("cf-*-token", "cf-new-api-tokens", false),
            ("*a*b", "xxaxxbxb", true),
            ("**", "x", true),
            ("?", "", false),
        ] {
            assert_eq!(fits(pattern, text), expect, "{pattern} {text}");
        }
        let long = "a".repeat(20_000);
        assert!(!fits("*a*a*a*a*b", &long));
    }
}
