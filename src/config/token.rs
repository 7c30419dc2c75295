//! The bearer token of the HTTP interface: read from a file, compared, never printed.

use std::fmt;

use super::{ConfigError, value};

/// 20 characters: what nobody guesses, however often.
const TOKEN_BYTES_MIN: usize = 20;

/// A secret that a request must name.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The first line of a file; `None` where no file is named.
    pub(super) fn read(path: &str) -> Result<Option<Self>, ConfigError> {
        if path.is_empty() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map(Some)
    }

    /// What the text of such a file holds.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let token = text.lines().next().unwrap_or_default().trim();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(value(
                "http.token_file",
                "holds less than 20 characters; put a token in it",
            ));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether `given` is the token; takes the same time whichever byte differs.
    pub fn is(&self, given: &str) -> bool {
        let pairs = self.0.bytes().zip(given.bytes());
        let differing = pairs.fold(0, |bits, (one, other)| bits | (one ^ other));
        self.0.len() == given.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token_and_it_is_never_printed() {
        assert!(Token::parse("too short\n").is_err());
        let token = Token::parse("correct-horse-battery \nold").expect("a token");
        assert!(token.is("correct-horse-battery"));
        for other in ["", "correct-horse-batterx", "correct-horse-batter", "correct-horse-battery "]
        {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
