//! Words of strangers, made harmless for the places where they are repeated: reasons, reports, header fields, the log.

/// The first characters of a text as one line of printable ASCII; each other character is a question mark.
pub fn printable(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// The first characters of a text as one line in its own script: each character that [`is_hostile`] is a space.
pub fn one_line(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

/// Controls (C1 too: U+009B begins an escape sequence as ESC `[` does), the line ends that only Unicode knows, and the marks that
/// turn the direction of what follows.
pub fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_one_harmless_line() {
        let text = "a\r\nb\0\u{1b}[31m \u{e9}\u{202e}\u{2028}~\u{7f}\u{9b}";
        assert_eq!(printable(text, 100), "a??b??[31m ???~??");
        assert_eq!(one_line(text, 100), "a  b  [31m \u{e9}  ~  ");
        for made in [printable(&text.repeat(50), 30), one_line(&text.repeat(50), 30)] {
            assert_eq!(made.chars().count(), 30);
            assert!(!made.contains(is_hostile), "{made:?}");
        }
    }
}
