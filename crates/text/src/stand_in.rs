//! Stand-ins: what a special token is called inside this crate.
//!
//! The tokenizer never looks for `<|im_end|>` in text. It looks for a stand-in: the noncharacter
//! U+FDD0 and one code point of the private-use plane 16, the same for the life of the tokenizer.
//! Stand-ins are written only here, where text that may spell special tokens is parsed (`parse`)
//! and in a template's own source. Text from outside that holds one loses it (`sanitize`,
//! `without_markers`), as Unicode advises for noncharacters ("replacing it with U+FFFD"). So
//! whatever a template does to a client's text (splits, joins, trims, replaces), no special token
//! comes of it.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::error::{Result, TextError};

/// First half of every stand-in.
pub const LEAD: char = '\u{FDD0}';
/// Breaks the spelling of a special token in a client's text, where a template is asked whether it
/// puts such spellings together itself (`chat_template`).
pub const BREAK: char = '\u{FDD1}';
/// The end of an assistant message that is to be continued.
pub const OPEN_END: char = '\u{FDD2}';

const FIRST: u32 = 0x10_0000;
/// U+10FFFE and U+10FFFF are noncharacters.
const COUNT_MAX: usize = 0xFFFE;

/// The special tokens of one tokenizer: spellings and stand-ins.
pub struct StandIns {
    spellings: Vec<String>,
    finder: AhoCorasick,
    /// Those whose spelling cannot be part of Jinja syntax, for `parse_template`.
    template_finder: AhoCorasick,
    template_index: Vec<usize>,
}

fn build_finder<'a>(spellings: impl Iterator<Item = &'a String>) -> Result<AhoCorasick> {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(spellings)
        .map_err(|error| TextError::corrupt(format!("special tokens: {error}")))
}

/// The special `</s>` is safe to replace in a template's source; a special ` ` or `if` is not.
fn is_distinct_from_jinja(spelling: &str) -> bool {
    spelling.chars().count() >= 3
        && spelling.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace() && c != '_')
        && !["{{", "}}", "{%", "%}", "{#", "#}", "'", "\""].iter().any(|s| spelling.contains(s))
}

impl StandIns {
    pub fn new(spellings: Vec<String>) -> Result<Self> {
        if spellings.len() > COUNT_MAX {
            return Err(TextError::corrupt(format!(
                "{} special tokens, at most {COUNT_MAX} are possible",
                spellings.len()
            )));
        }
        let finder = build_finder(spellings.iter())?;
        let template_index: Vec<usize> =
            (0..spellings.len()).filter(|&i| is_distinct_from_jinja(&spellings[i])).collect();
        let template_finder = build_finder(template_index.iter().map(|&i| &spellings[i]))?;
        Ok(Self { spellings, finder, template_finder, template_index })
    }

    pub fn spellings(&self) -> &[String] {
        &self.spellings
    }

    pub fn stand_in(index: usize) -> String {
        let second = char::from_u32(FIRST + index as u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        String::from_iter([LEAD, second])
    }

    /// The stand-in of a spelling, or nothing where no special token is spelled so.
    pub fn stand_in_of(&self, spelling: &str) -> Option<String> {
        self.spellings.iter().position(|s| s == spelling).map(Self::stand_in)
    }

    /// Text without what looks like one of our stand-ins; unchanged but for that.
    pub fn sanitize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !text.contains(LEAD) {
            return Cow::Borrowed(text);
        }
        let mut result = String::with_capacity(text.len());
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let next = characters.peek().copied();
            let is_stand_in = c == LEAD && next.is_some_and(|n| self.index_of_second(n).is_some());
            result.push(if is_stand_in { char::REPLACEMENT_CHARACTER } else { c });
        }
        Cow::Owned(result)
    }

    /// Each special token's spelling in `text` (leftmost, longest) becomes its stand-in.
    pub fn parse<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, &self.finder, |found| found)
    }

    /// The same for a template's source.
    pub fn parse_template<'a>(&self, source: &'a str) -> Cow<'a, str> {
        self.replace(source, &self.template_finder, |found| self.template_index[found])
    }

    /// Which special tokens `text` spells, each once.
    pub fn spelled_in(&self, text: &str) -> Vec<usize> {
        let mut found: Vec<usize> =
            self.finder.find_iter(text).map(|m| m.pattern().as_usize()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn replace<'a>(
        &self,
        text: &'a str,
        finder: &AhoCorasick,
        index: impl Fn(usize) -> usize,
    ) -> Cow<'a, str> {
        let mut result = String::new();
        let mut end = 0;
        for found in finder.find_iter(text) {
            // A one-character token has no inside that a BREAK could be in: it stands after it.
            let is_broken = text[found.end()..].starts_with(BREAK)
                && text[found.range()].chars().nth(1).is_none();
            if is_broken {
                continue;
            }
            result.push_str(&text[end..found.start()]);
            result.push_str(&Self::stand_in(index(found.pattern().as_usize())));
            end = found.end();
        }
        if end == 0 {
            return Cow::Borrowed(text);
        }
        result.push_str(&text[end..]);
        Cow::Owned(result)
    }

    fn index_of_second(&self, c: char) -> Option<usize> {
        let index = (c as u32).checked_sub(FIRST)? as usize;
        (index < self.spellings.len()).then_some(index)
    }

    /// Cuts text into pieces: `(spelling, true)` for a stand-in, else `(text, false)`.
    pub fn pieces<'a>(&'a self, text: &'a str) -> Vec<(&'a str, bool)> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for (at, _) in text.match_indices(LEAD) {
            let second_at = at + LEAD.len_utf8();
            let Some(second) = text[second_at..].chars().next() else { continue };
            let Some(index) = self.index_of_second(second) else { continue };
            if start < at {
                pieces.push((&text[start..at], false));
            }
            pieces.push((self.spellings[index].as_str(), true));
            start = second_at + second.len_utf8();
        }
        if start < text.len() {
            pieces.push((&text[start..], false));
        }
        pieces
    }
}

/// A client's text for a template: none of our markers is in it.
pub fn without_markers(text: &str) -> Cow<'_, str> {
    const MARKERS: [char; 3] = [LEAD, BREAK, OPEN_END];
    if text.contains(MARKERS) {
        Cow::Owned(text.replace(MARKERS, "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand_ins() -> StandIns {
        StandIns::new(vec!["<s>".into(), "<|im_end|>".into(), "<|im_end|>2".into(), "!".into()])
            .unwrap()
    }

    #[test]
    fn parsing_takes_the_longest_spelling() {
        let s = stand_ins();
        assert_eq!(
            s.pieces(&s.parse("a<|im_end|>2b")),
            [("a", false), ("<|im_end|>2", true), ("b", false)]
        );
        assert_eq!(s.parse("plain"), "plain");
    }

    #[test]
    fn outside_text_cannot_hold_a_stand_in() {
        let s = stand_ins();
        let hostile = format!("x{}y", StandIns::stand_in(1));
        assert!(s.pieces(&s.sanitize(&hostile)).iter().all(|piece| !piece.1));
        // Other noncharacters and private-use code points are left alone.
        assert_eq!(s.sanitize("\u{FDD0}a\u{100001}"), "\u{FDD0}a\u{100001}");
        assert_eq!(without_markers("\u{FDD0}\u{FDD1}\u{FDD2}a"), "\u{FFFD}\u{FFFD}\u{FFFD}a");
    }

    #[test]
    fn a_broken_spelling_is_not_parsed() {
        let s = stand_ins();
        assert_eq!(s.parse("<\u{FDD1}s>"), "<\u{FDD1}s>");
        assert_eq!(s.parse("!\u{FDD1}"), "!\u{FDD1}");
    }

    #[test]
    fn jinja_syntax_is_never_taken_for_a_special_token() {
        let s = StandIns::new(vec!["if".into(), " ".into(), "{{".into(), "<s>".into()]).unwrap();
        let source = "{{ 'x' if true }} {{ '' }}";
        assert_eq!(s.parse_template(source), source);
        assert_ne!(s.parse_template("{{ '<s>' }}"), "{{ '<s>' }}");
    }
}
