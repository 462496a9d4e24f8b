//! The built-in rules: the files of `rules/`, which the build puts into the program.

// `BUILT_IN`: the name and the text of each file, sorted by name.
include!(concat!(env!("OUT_DIR"), "/rules.rs"));
