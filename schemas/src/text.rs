//! What text from devices and the registry may hold that must never reach a reader as it is.

/// Whether a character would change how the text around it reads: controls, line and paragraph
/// separators, and the marks, embeddings, overrides and isolates of the bidirectional algorithm
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>).
///
/// With them a name can end the line it stands in, or turn what follows it around. Letters that
/// are written from right to left need none of them and stay.
pub fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{061c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::misleads;

    #[test]
    fn letters_of_every_script_stay_and_what_steers_text_does_not() {
        assert!("a ä – … שלום مرحبا 你好 👩‍💻".chars().all(|letter| !misleads(letter)));
        let steering = "\n\r\u{1b}\u{7f}\u{85}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\
                        \u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(steering.chars().find(|letter| !misleads(*letter)), None);
    }
}
