//! Whether the terminal's locale can show more than ASCII, as POSIX decides: LC_ALL, then LC_CTYPE, then LANG.

use std::{env, sync::LazyLock};

static IS_UTF8: LazyLock<bool> =
    LazyLock::new(|| names_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).ok())));

/// Whether glyphs beyond ASCII may be printed for people.
pub(super) fn is_utf8() -> bool {
    *IS_UTF8
}

/// The first variable that is set and not empty decides. Without one the locale is C, which is ASCII.
fn names_utf8(variables: [Option<String>; 3]) -> bool {
    let decides = variables.into_iter().flatten().find(|value| !value.is_empty()).unwrap_or_default().to_lowercase();
    decides.ends_with("utf-8") || decides.ends_with("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let with = |variables: [&str; 3]| names_utf8(variables.map(|it| Some(it.to_owned())));
        assert!(with(["", "", "en_GB.UTF-8"]) && with(["C.utf8", "", ""]) && with(["", "C.UTF-8", "C"]));
        assert!(
            !with(["C", "", "en_GB.UTF-8"]) && !with(["POSIX", "C.UTF-8", ""]) && !with(["", "", "de_DE.ISO-8859-1"])
        );
        assert!(!names_utf8([None, None, None]));
    }
}
