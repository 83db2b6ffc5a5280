//! Address lists and IP lists: their files are read here, entry by entry, and every wrong entry is reported in its file.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::tests_of::set;
use crate::config::diagnostic::{Code, Severity, Sink};
use crate::config::formats;
use crate::config::lints::unmapped;
use crate::config::source::Span;
use crate::rules::{AddressList, IpSet};

/// The lists of a deployment by name.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Of addresses.
    pub(crate) address: BTreeMap<String, Arc<AddressList>>,
    /// Of networks.
    pub(crate) ip: BTreeMap<String, Arc<IpSet>>,
}

impl Lists {
    /// The list; an empty one when there is none of that name, which is reported elsewhere and keeps all from being used.
    pub(crate) fn addresses(&self, name: &str) -> Arc<AddressList> {
        self.address.get(name).cloned().unwrap_or_default()
    }

    /// The same for networks.
    pub(crate) fn networks(&self, name: &str) -> Arc<IpSet> {
        self.ip.get(name).cloned().unwrap_or_default()
    }
}

/// Reads an address list: JSON when it begins with `{`, else CSV.
pub(crate) fn addresses(sink: &mut Sink) -> AddressList {
    let source = sink.source();
    let entries = if source.text.trim_start().starts_with('{') { json(&source.text, sink) } else { csv(&source.text, sink) };
    let (list, mistakes) = AddressList::build(entries.iter().map(|(text, _)| text.as_str()));
    for (index, mistake) in mistakes {
        if let Some((text, span)) = entries.get(index) {
            sink.error(
                Code::ListEntry,
                span.clone(),
                format!("`{}` is not an entry of an address list: {}", formats::clip(text), mistake.0),
            );
        }
    }
    list
}

/// Reads an IP list: one network a line, `#` begins a comment.
pub(crate) fn networks(sink: &mut Sink) -> IpSet {
    let source = sink.source();
    let mut networks: Vec<IpNet> = Vec::new();
    for (line, start) in lines(&source.text) {
        let entry = line.split(['#', ';']).next().unwrap_or_default();
        let text = entry.trim();
        if text.is_empty() {
            continue;
        }
        let from = start.saturating_add(entry.len().saturating_sub(entry.trim_start().len()));
        let span = from..from.saturating_add(text.len());
        match formats::cidr(text) {
            Ok((net, warning)) => {
                networks.push(net);
                if let Some(v4) = unmapped(net) {
                    let written = v4.to_string();
                    sink.warning(Code::CidrMapped, span.clone(), format!("`{text}` is the IPv4 network `{written}` in an IPv6 notation"))
                        .help("addresses of clients that come over a dual-stack socket are made plain IPv4 first")
                        .fix(format!("write `{written}`"), vec![(span.clone(), written)]);
                }
                if let Some(warning) = warning {
                    warning.report(span, Severity::Warning, true, sink);
                }
            }
            Err(mistake) => sink.error(Code::ListEntry, span, mistake.message).help.extend(mistake.help),
        }
    }
    set(networks.into_iter())
}

/// The column `address` of a CSV file (RFC 4180, without line breaks in fields).
fn csv(text: &str, sink: &mut Sink) -> Vec<(String, Span)> {
    let mut entries = Vec::new();
    let mut column = None;
    for (line, start) in lines(text) {
        if line.trim().is_empty() {
            continue;
        }
        let fields = fields(line, start);
        match column {
            None => {
                column = fields.iter().position(|(name, _)| name.trim().trim_start_matches('\u{feff}').eq_ignore_ascii_case("address"));
                if column.is_none() {
                    sink.error(
                        Code::ListEntry,
                        start..start.saturating_add(line.len()),
                        "the first line names the columns, and none is `address`",
                    )
                    .help("write `address` alone in the first line");
                    return entries;
                }
            }
            Some(column) => {
                if let Some((text, span)) = fields.into_iter().nth(column)
                    && !text.trim().is_empty()
                {
                    entries.push((text.trim().to_owned(), span));
                }
            }
        }
    }
    entries
}

/// The fields of a CSV line with their places; quotes are taken off.
fn fields(line: &str, start: usize) -> Vec<(String, Span)> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let (mut from, mut quoted) = (0_usize, false);
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' if quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => {
                fields.push((std::mem::take(&mut field), start.saturating_add(from)..start.saturating_add(at)));
                from = at.saturating_add(1);
            }
            c => field.push(c),
        }
    }
    fields.push((field, start.saturating_add(from)..start.saturating_add(line.len())));
    fields
}

#[derive(serde::Deserialize)]
struct JsonList {
    items: Vec<JsonItem>,
}

#[derive(serde::Deserialize)]
struct JsonItem {
    address: String,
}

fn json(text: &str, sink: &mut Sink) -> Vec<(String, Span)> {
    let list: JsonList = match serde_json::from_str(text) {
        Ok(list) => list,
        Err(error) => {
            let line = sink.source().line(error.line());
            let at = line.start.saturating_add(error.column().saturating_sub(1)).min(line.end);
            let text = error.to_string();
            let why = text.split(" at line ").next().unwrap_or_default();
            sink.error(Code::ListEntry, at..at, format!("not a list of addresses: {why}"))
                .help("it is written {\"items\":[{\"address\":\"bob@acme.example\"}]}");
            return Vec::new();
        }
    };
    // JSON has no places; entries stand in order, so each is looked for behind the one before it.
    let mut from = 0_usize;
    list.items
        .into_iter()
        .map(|item| {
            let quoted = format!("\"{}\"", item.address);
            let span = text.get(from..).and_then(|rest| rest.find(&quoted)).map_or(from..from, |at| {
                let start = from.saturating_add(at).saturating_add(1);
                start..start.saturating_add(item.address.len())
            });
            from = span.end;
            (item.address, span)
        })
        .collect()
}

/// The lines of a text without their endings, each with its place.
fn lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut start = 0_usize;
    text.split_inclusive('\n').map(move |line| {
        let at = start;
        start = start.saturating_add(line.len());
        (line.trim_end_matches(['\n', '\r']), at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;

    #[test]
    fn csv_takes_the_column_and_its_quotes() {
        let text = "id,Address\r\n1,bob@acme.example\r\n2,\"a,\"\"b\"\"@acme.example\"\r\n\r\n3\r\n";
        let mut sink = Sink::new(Source::new("x.csv".into(), text.into()));
        let entries = csv(text, &mut sink);
        assert_eq!(entries.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), ["bob@acme.example", "a,\"b\"@acme.example"]);
        assert_eq!(&text[entries[0].1.clone()], "bob@acme.example");
        assert!(!sink.has_errors());
    }

    #[test]
    fn json_entries_know_their_place() {
        let text = r#"{"items":[{"address":"a@x.example"},{"address":"a@x.example"}]}"#;
        let mut sink = Sink::new(Source::new("x.json".into(), text.into()));
        let entries = json(text, &mut sink);
        assert_eq!(entries.len(), 2);
        assert_eq!(&text[entries[1].1.clone()], "a@x.example");
        assert!(entries[1].1.start > entries[0].1.end);
    }

    #[test]
    fn ip_lists_allow_comments_and_report_each_wrong_line() {
        let text = "# drop\n192.0.2.0/24 ; SBL1\n\n  nonsense # x\n2001:db8::/32\n198.51.100.7/24\n";
        let mut sink = Sink::new(Source::new("x.txt".into(), text.into()));
        networks(&mut sink);
        let report = crate::config::Report::new([sink]);
        assert_eq!((report.errors(), report.warnings()), (1, 1));
        assert_eq!((report.diagnostics[0].line, report.diagnostics[0].column), (4, 3));
    }
}
