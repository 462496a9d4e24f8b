//! How large a regular expression of a rule may be. It runs over every entry, so its states are limited as well as its length.

use regex_automata::nfa::thompson::{Compiler, Config};

use super::super::yaml::cut;

/// The longest expression, in bytes.
pub(super) const MAX_LEN: usize = 1_000;

/// The most memory that the states of an expression may take.
const MAX_STATES_BYTES: usize = 256 * 1024;

/// Checks an expression.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_LEN {
        return Err(format!(
            "a regular expression is at most {MAX_LEN} bytes long"
        ));
    }
    let limits = Config::new().nfa_size_limit(Some(MAX_STATES_BYTES));
    match Compiler::new().configure(limits).build(pattern) {
        Ok(_) => Ok(()),
        Err(error) if error.size_limit().is_some() => Err(format!(
            "the regular expression `{}` is too large; repeat less",
            cut(pattern)
        )),
        Err(_) => Err(format!(
            "`{}` is not a regular expression of this syntax: there are no back-references and no look-around",
            cut(pattern)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_expression_is_refused_quickly() {
        assert_eq!(check(r"^/accounts/[^/]+/tokens$"), Ok(()));
        assert_eq!(check(r"(?i)\beyJ[\w-]{10,}\."), Ok(()));
        let error = check("((a{100}){100}){100}").unwrap_err();
        assert!(error.contains("too large"), "{error}");
        assert!(check(&"a".repeat(1_001)).is_err());
        assert!(check("(").is_err());
        assert!(check(r"(a)\1").is_err());
        assert!(check("(?=a)").is_err());
    }
}
