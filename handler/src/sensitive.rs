use std::fmt;

/// A secret access key, a password or a token: `Debug` never shows it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sensitive(String);

impl Sensitive {
    /// Takes the secret in.
    pub(crate) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The text with the secret taken out, for words of others that may quote it, or a piece of it: Systems Manager
    /// cuts a script's output anywhere. A script may also print it URL-encoded, or broken over lines.
    #[must_use]
    pub(crate) fn redact(&self, text: &str) -> String {
        let secret: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.chars().collect();
        let shortest = SHORTEST_PIECE.min(secret.len()).max(1);
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let pieces = (0..secret.len()).map(|from| common_start(&secret[from..], &text[at..]));
            if let Some(piece) = pieces.max_by_key(|piece| piece.spelled).filter(|piece| piece.spelled >= shortest) {
                clean.push_str(REDACTED);
                at += piece.read;
            } else {
                clean.push(text[at]);
                at += 1;
            }
        }
        clean
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A piece of a secret that a text begins with.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// Characters of the secret.
    spelled: usize,
    /// Characters of the text in which they stand.
    read: usize,
}

fn common_start(secret: &[char], text: &[char]) -> Piece {
    let (mut piece, mut at) = (Piece::default(), 0);
    while piece.spelled < secret.len() && at < text.len() {
        let (next, length) = url_decoded(&text[at..]);
        if next == secret[piece.spelled] {
            at += length;
            piece = Piece { spelled: piece.spelled + 1, read: at };
        } else if piece.spelled > 0 && next.is_whitespace() {
            at += length;
        } else {
            break;
        }
    }
    piece
}

/// The first character of a text that is not empty, which may be written as `%2B`, and how many characters of the text it takes.
fn url_decoded(text: &[char]) -> (char, usize) {
    if let ['%', high, low, ..] = text
        && let (Some(high), Some(low)) = (high.to_digit(16), low.to_digit(16))
    {
        return (char::from_u32(high * 16 + low).unwrap_or('%'), 3);
    }
    (text[0], 1)
}

/// Length from which a piece of a known secret is taken out, in characters: a shorter one is likely to be a word.
const SHORTEST_PIECE: usize = 12;

const REDACTED: &str = "[redacted]";

/// Length from which an unbroken run of base64 characters is taken for a secret: a secret access
/// key has 40, an SMTP password 44.
const SECRET_LIKE: usize = 40;

/// A script's output with everything that looks like a secret taken out.
#[must_use]
pub(crate) fn without_secret_like(text: &str) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(belongs) {
        let (before, from_run) = rest.split_at(start);
        let (run, after) = from_run.split_at(from_run.find(|c| !belongs(c)).unwrap_or(from_run.len()));
        clean.push_str(before);
        clean.push_str(if run.len() >= SECRET_LIKE && !is_path(run) { REDACTED } else { run });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Whether a run of base64 characters is a file's path for sure: words of small letters between slashes.
///
/// Of 64 characters, 27 may stand in such a path, so of 10^14 random secrets of [`SECRET_LIKE`] characters less than one is taken for a path.
fn is_path(run: &str) -> bool {
    run.contains('/') && run.chars().all(|c| c.is_ascii_lowercase() || c == '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", Sensitive::new("hunter2")), "[redacted]");
    }

    #[test]
    fn a_quoted_secret_is_taken_out_of_a_text() {
        assert_eq!(Sensitive::new("hunter2").redact("bad value 'hunter2'"), "bad value '[redacted]'");
        assert_eq!(Sensitive::new("").redact("as it is"), "as it is");
    }

    #[test]
    fn a_piece_of_a_secret_is_taken_out_of_a_text() {
        let password = Sensitive::new("BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2");
        for piece in ["BMXhUYlu5Z3g", "SXVQORxlVa7XPaz91a", "HxvkOZdWZ2", "hello"] {
            let expected = if piece.len() < SHORTEST_PIECE { piece } else { REDACTED };
            assert_eq!(password.redact(&format!("é {piece}\n")), format!("é {expected}\n"));
        }
    }

    #[test]
    fn a_secret_that_is_url_encoded_or_broken_over_lines_is_taken_out_of_a_text() {
        let password = Sensitive::new("BMXhU+lu5Z3g/XVQO+xlVa7XPaz91aGWdfHxvkOZdWZ2");
        for written in [
            "BMXhU%2Blu5Z3g%2fXVQO%2BxlVa7XPaz91aGWdfHxvkOZdWZ2",
            "BMXhU+lu5Z\n3g/XVQO+xl\nVa7XPaz91a\nGWdfHxvkOZ\ndWZ2",
            "XhU%2Blu5Z3g%2fXVQO",
        ] {
            assert_eq!(password.redact(&format!("pass={written}&x 100%")), "pass=[redacted]&x 100%");
        }
    }

    #[test]
    fn passwords_and_secret_access_keys_are_taken_out_of_a_scripts_output() {
        for secret in ["BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"] {
            let clean = without_secret_like(&format!("+ echo 'AKIAIOSFODNN7EXAMPLE:{secret}' é"));
            assert_eq!(clean, "+ echo 'AKIAIOSFODNN7EXAMPLE:[redacted]' é");
        }
    }

    #[test]
    fn a_long_path_of_words_stays_and_what_may_be_a_secret_goes() {
        let path = "exec: /srv/deployment/mail/scripts/of/production/rotate_smtp.sh: Permission denied";
        assert_eq!(without_secret_like(path), path);
        for doubtful in
            ["abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst", "/srv/deployment/mail/scripts/of/production/v2"]
        {
            assert_eq!(without_secret_like(doubtful), REDACTED);
        }
    }

    #[test]
    fn ordinary_output_is_left_alone() {
        let text = "postmap: fatal: /etc/postfix/sasl_passwd.db: Permission denied\n";
        assert_eq!(without_secret_like(text), text);
    }
}
