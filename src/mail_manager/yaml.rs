//! YAML as a person would write it: our own files, with comments.
//!
//! What fits stands in one line; what does not, or has a comment, gets lines of its own.

/// Columns of a line.
const WIDTH: usize = 120;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// A text; quoted where it would be read as something else.
    Text(String),
    /// A number, a word or a size: written as it is.
    Plain(String),
    /// Items.
    List(Vec<Item>),
    /// Keys and values; [`Yaml::tall`] keeps each on a line of its own.
    Map(Vec<Item>, bool),
}

/// An item of a list, an entry of a mapping (then with a key), or a comment alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Item {
    /// Comments above it.
    pub(super) comments: Vec<Comment>,
    /// Whether there is an empty line before it.
    pub(super) is_apart: bool,
    key: Option<String>,
    value: Option<Yaml>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// Its text; line breaks are kept.
    pub(super) text: String,
    /// Whether somebody should look at it.
    pub(super) is_remark: bool,
}

impl Comment {
    /// Something that should be looked at.
    pub(super) fn remark(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_remark: true }
    }

    /// Something that is said.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_remark: false }
    }
}

impl Yaml {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A mapping that may stand in one line.
    pub(super) fn map(items: Vec<Item>) -> Self {
        Self::Map(items, false)
    }

    /// A mapping of one entry that may stand in one line.
    pub(super) fn one(key: &str, value: Self) -> Self {
        Self::map(vec![Item::entry(key, value)])
    }

    /// A mapping with each entry on a line of its own.
    pub(super) fn tall(items: Vec<Item>) -> Self {
        Self::Map(items, true)
    }

    /// Texts: the only one, or a list of them.
    pub(super) fn texts(values: &[String]) -> Self {
        match values {
            [only] => Self::text(only),
            many => Self::List(many.iter().map(|value| Item::of(Self::text(value))).collect()),
        }
    }

    /// In one line, if nothing speaks against it.
    fn flow(&self) -> Option<String> {
        let all = |items: &[Item]| {
            let is_bare = |item: &Item| item.comments.is_empty() && !item.is_apart;
            items.iter().map(|item| if is_bare(item) { item.flow() } else { None }).collect::<Option<Vec<_>>>()
        };
        match self {
            Self::Text(text) => Some(scalar(text)),
            Self::Plain(word) => Some(word.clone()),
            Self::List(items) if items.is_empty() => Some("[]".to_owned()),
            // A list of mappings is a list of things, each of which deserves a line.
            Self::List(items) if items.iter().any(|item| matches!(item.value, Some(Self::Map(..) | Self::List(_)))) => None,
            Self::List(items) => all(items).map(|items| format!("[{}]", items.join(", "))),
            Self::Map(items, _) if items.is_empty() => Some("{}".to_owned()),
            Self::Map(_, true) => None,
            Self::Map(items, false) => all(items).map(|items| format!("{{ {} }}", items.join(", "))),
        }
    }
}

impl Item {
    /// An item of a list.
    pub(super) fn of(value: Yaml) -> Self {
        Self { value: Some(value), ..Self::default() }
    }

    /// An entry of a mapping.
    pub(super) fn entry(key: &str, value: Yaml) -> Self {
        Self { key: Some(key.to_owned()), value: Some(value), ..Self::default() }
    }

    /// Comments with nothing behind them.
    pub(super) fn comment(comment: Comment) -> Self {
        Self { comments: vec![comment], ..Self::default() }
    }

    /// With comments above.
    pub(super) fn with(mut self, comments: impl IntoIterator<Item = Comment>) -> Self {
        self.comments.extend(comments);
        self
    }

    /// With an empty line before.
    pub(super) fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// The key of an entry.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn flow(&self) -> Option<String> {
        let value = self.value.as_ref()?.flow()?;
        Some(match &self.key {
            Some(key) => format!("{}: {value}", scalar(key)),
            None => value,
        })
    }
}

/// A file as text, and the lines of what should be looked at.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) text: String,
    /// Line, from 1, and the comment.
    pub(super) remarks: Vec<(usize, String)>,
    lines: usize,
}

/// Writes a mapping as a file, below comments.
pub(super) fn file(head: &[Comment], root: &[Item]) -> Written {
    let mut written = Written::default();
    for comment in head {
        written.comment(comment, 0);
    }
    if !head.is_empty() {
        written.line("");
    }
    written.entries(root, 0, None);
    written
}

impl Written {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
        self.lines = self.lines.saturating_add(1);
    }

    fn comment(&mut self, comment: &Comment, indent: usize) {
        if comment.is_remark {
            self.remarks.push((self.lines.saturating_add(1), comment.text.replace('\n', " ")));
        }
        let room = WIDTH.saturating_sub(indent).saturating_sub(2);
        for paragraph in comment.text.split('\n') {
            // What comes from elsewhere ends no comment.
            let clean: String = paragraph.chars().map(|c| if is_break(c) { '?' } else { c }).collect();
            // An example keeps its indentation.
            let text = clean.trim_start_matches(' ');
            let inner = clean.len().saturating_sub(text.len());
            for line in wrapped(text, room.saturating_sub(inner)) {
                self.line(&format!("{:indent$}# {:inner$}{line}", "", ""));
            }
        }
    }

    /// Entries of a mapping or items of a list; the first line may begin behind the dash of the item around them.
    fn entries(&mut self, items: &[Item], indent: usize, dash: Option<usize>) {
        let mut dash = dash;
        for item in items {
            if item.is_apart {
                self.line("");
            }
            for comment in &item.comments {
                self.comment(comment, indent);
            }
            let Some(value) = &item.value else { continue };
            let start = match dash.take() {
                Some(outer) => format!("{:outer$}- ", ""),
                None => format!("{:indent$}", ""),
            };
            match &item.key {
                Some(key) => self.entry(&start, &scalar(key), value, indent),
                None => self.item(value, indent),
            }
        }
    }

    fn entry(&mut self, start: &str, key: &str, value: &Yaml, indent: usize) {
        if let Some(flow) = value.flow() {
            let line = format!("{start}{key}: {flow}");
            if line.chars().count() <= WIDTH || matches!(value, Yaml::Text(_) | Yaml::Plain(_)) {
                return self.line(&line);
            }
        }
        self.line(&format!("{start}{key}:"));
        let deeper = indent.saturating_add(2);
        match value {
            Yaml::List(items) | Yaml::Map(items, _) => self.entries(items, deeper, None),
            Yaml::Text(_) | Yaml::Plain(_) => {}
        }
    }

    fn item(&mut self, value: &Yaml, indent: usize) {
        let deeper = indent.saturating_add(2);
        match value {
            // The one entry of a condition or action is the item's name.
            Yaml::Map(items, _) if !items.is_empty() => {
                let begins_with_comment = items.first().is_some_and(|first| !first.comments.is_empty() || first.value.is_none());
                if begins_with_comment {
                    self.line(&format!("{:indent$}-", ""));
                }
                self.entries(items, deeper, (!begins_with_comment).then_some(indent));
            }
            other => self.line(&format!("{:indent$}- {}", "", other.flow().unwrap_or_default())),
        }
    }
}

/// Lines of at most so many characters, broken at spaces.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { continue };
        let length = last.chars().count();
        if length > 0 && length.saturating_add(1).saturating_add(word.chars().count()) > room {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Whether a character ends a line or is seen by nobody (YAML 1.2 §5.1, §5.4, and the line breaks of YAML 1.1).
fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text as a plain scalar where every reader takes it for one, else in double quotes (YAML 1.2 §7.3.1).
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_break(c) => {
                let code = u32::from(c);
                quoted.push_str(&if code <= 0xff { format!("\\x{code:02x}") } else { format!("\\u{code:04x}") });
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_');
    let consists = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | '+' | ' '));
    // Words and numbers of YAML 1.1 and 1.2, and what readers take for a date or a number with a sign in the middle.
    let is_word = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    let is_numeric = text.starts_with(|c: char| c.is_ascii_digit())
        && (text.parse::<f64>().is_ok()
            || text.starts_with("0x")
            || text.starts_with("0o")
            || text.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '-')));
    begins && consists && !text.ends_with(' ') && !is_word && !is_numeric && !matches!(text, "inf" | "nan")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::diagnostic::Sink;
    use crate::config::source::Source;
    use crate::config::tree;

    use super::*;

    /// Through the reader of our own files.
    fn read(text: &str) -> serde_yaml::Value {
        let mut sink = Sink::new(Source::new("x.yaml".into(), text.to_owned()));
        let node = tree::parse(&mut sink);
        assert!(!sink.has_errors(), "{}", crate::config::Report::new([sink]).render(crate::config::Format::Text, false));
        node.unwrap().to_serde()
    }

    #[test]
    fn looks_as_if_written_by_hand() {
        let relay = Yaml::one("SMTPRelay", Yaml::map(vec![Item::entry("relay", Yaml::text("google"))]));
        let rule = Yaml::tall(vec![
            Item::entry("name", Yaml::text("a")),
            Item::entry(
                "when",
                Yaml::List(vec![
                    Item::of(Yaml::one("tls", Yaml::Plain("true".into()))).with([Comment::remark("why")]),
                    Item::of(Yaml::one("from", Yaml::one("equals", Yaml::texts(&["a@b".into(), "*@c: d".into()])))),
                ]),
            ),
            Item::entry("actions", Yaml::List(vec![Item::of(relay), Item::of(Yaml::text("Stop"))])),
        ]);
        let drop =
            Yaml::tall(vec![Item::entry("name", Yaml::text("no")), Item::entry("actions", Yaml::List(vec![Item::of(Yaml::text("Drop"))]))]);
        let root = [Item::entry("rules", Yaml::List(vec![Item::of(rule), Item::of(drop).apart().with([Comment::plain("then")])]))];
        let written = file(&[Comment::plain("Head.\nTwo.")], &root);
        let expected = "# Head.\n# Two.\n\nrules:\n  - name: a\n    when:\n      # why\n      - tls: true\n      - from: { equals: [a@b, \"*@c: d\"] }\n    actions:\n      - SMTPRelay: { relay: google }\n      - Stop\n\n  # then\n  - name: \"no\"\n    actions: [Drop]\n";
        assert_eq!(written.text, expected);
        assert_eq!(written.remarks, [(7, "why".to_owned())]);
        read(expected);
    }

    fn value() -> impl Strategy<Value = Yaml> {
        let text = prop_oneof![any::<String>(), "[-+.0-9a-fxoeE_:#{}\\[\\], *&!|>'\"%@`~yYnN?=<]{0,8}"].prop_map(Yaml::Text);
        text.prop_recursive(4, 32, 4, |inner| {
            let entries = prop::collection::btree_map(any::<String>(), inner.clone(), 1..4);
            prop_oneof![
                prop::collection::vec((inner, prop::option::of(any::<String>())), 0..4).prop_map(|items| Yaml::List(
                    items
                        .into_iter()
                        .filter(|(value, _)| !matches!(value, Yaml::List(_)))
                        .map(|(value, comment)| Item::of(value).with(comment.map(Comment::plain)))
                        .collect()
                )),
                (entries, any::<bool>()).prop_map(|(entries, tall)| Yaml::Map(
                    entries.into_iter().map(|(key, value)| Item::entry(&key, value)).collect(),
                    tall
                )),
            ]
        })
    }

    fn meant(value: &Yaml) -> serde_yaml::Value {
        match value {
            Yaml::Text(text) | Yaml::Plain(text) => text.as_str().into(),
            Yaml::List(items) => items.iter().filter_map(|item| item.value.as_ref()).map(meant).collect::<Vec<_>>().into(),
            Yaml::Map(items, _) => serde_yaml::Value::Mapping(
                items.iter().filter_map(|item| Some((item.key.as_deref()?.into(), meant(item.value.as_ref()?)))).collect(),
            ),
        }
    }

    proptest! {
        #[test]
        fn whatever_it_holds_it_is_read_back(value in value(), comment in any::<String>()) {
            let root = [Item::entry("a", value.clone()).with([Comment::plain(comment)])];
            let written = file(&[], &root);
            prop_assert_eq!(read(&written.text), meant(&Yaml::Map(root.to_vec(), true)), "{}", written.text);
        }
    }
}
