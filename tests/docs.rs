//! The pages say what is true: their YAML is valid, their links lead somewhere, and what they list is complete.
//!
//! `BLESS=1` rewrites the tables of `docs/limits.md`; those of `docs/configuration.md` are made beside the models.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, Format};
use gateway::limits::Limit;
use gateway::telemetry::{Format as LogFormat, Log};
use regex::Regex;

#[test]
fn every_yaml_block_is_a_valid_file() {
    let mut mistakes = Vec::new();
    let mut blocks = 0;
    for page in pages() {
        let files = yaml_blocks(&page);
        if files.is_empty() {
            continue;
        }
        blocks += files.len();
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path(), &files);
        let report = config::check(&[folder.path().to_owned()]).unwrap();
        if report.errors() > 0 {
            mistakes.push(format!("== {}\n{}", page.path, report.render(Format::Text, false)));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    assert!(blocks > 5, "the blocks were not found");
}

/// The files of one page as a deployment: with the shipped one beneath them where the page has no `gateway.yaml` of its own.
fn lay_out(folder: &Path, files: &BTreeMap<String, String>) {
    copy(&root().join("lists"), &folder.join("lists"));
    if !files.contains_key("gateway.yaml") {
        fs::copy(root().join("gateway.yaml"), folder.join("gateway.yaml")).unwrap();
        copy(&root().join("policies"), &folder.join("policies"));
        copy(&root().join("rules"), &folder.join("rules"));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["mx1.acme.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (path, text) in [("tls/fullchain.pem", certificate.pem()), ("tls/key.pem", key.serialize_pem()), ("tls/ca.pem", certificate.pem())]
    {
        write(&folder.join(path), &text);
    }
    for (path, text) in files {
        write(&folder.join(path), text);
    }
}

/// The files of a folder; those of tests are about the shipped deployment, not about that of a page.
fn copy(from: &Path, to: &Path) {
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        write(&to.join(path.file_name().unwrap()), &fs::read_to_string(&path).unwrap());
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The blocks marked `yaml`, by the file that their first line names.
fn yaml_blocks(page: &Page) -> BTreeMap<String, String> {
    let fence = Regex::new(r"(?ms)^```yaml\n(.*?)^```$").unwrap();
    let mut files = BTreeMap::new();
    for block in fence.captures_iter(&page.text) {
        let text = &block[1];
        let first = text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("# ").and_then(|rest| rest.split([' ', ':']).next()).filter(|name| name.ends_with(".yaml"));
        let name = named.unwrap_or_else(|| panic!("{}: a yaml block begins with `{first}`, not with the name of its file", page.path));
        assert!(files.insert(name.to_owned(), text.to_owned()).is_none(), "{}: {name} stands there twice", page.path);
    }
    files
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^()\s]+)\)").unwrap();
    let mut mistakes = Vec::new();
    for page in pages() {
        let folder = root().join(&page.path).parent().unwrap().to_owned();
        for found in link.captures_iter(&page.prose()) {
            let target = &found[1];
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(&page.path) } else { folder.join(file) };
            let is_good = path.exists() && (anchor.is_empty() || anchors(&fs::read_to_string(&path).unwrap()).contains(anchor));
            if !is_good {
                mistakes.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert!(mistakes.is_empty(), "links that lead nowhere:\n{}", mistakes.join("\n"));
}

/// The anchors of a page's headings, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let keep = |c: char| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || c == '_' || c == '-').then_some(c) };
    headings.map(|heading| heading.chars().filter_map(keep).collect()).collect()
}

/// The files of `src/limits/`, in the order of a message's way.
fn limits() -> String {
    const FILES: [&str; 10] =
        ["session", "load", "message", "verdicts", "delivery", "envelope", "deployment", "control", "analysis", "replay"];
    let folder = root().join("src/limits");
    let others = ["mod", "name"];
    let there: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = FILES.into_iter().chain(others).map(str::to_owned).collect();
    assert_eq!(there, known, "a file of src/limits/ has no place in the page");
    FILES.map(|name| fs::read_to_string(folder.join(name).with_extension("rs")).unwrap()).concat()
}

#[test]
fn the_limits_are_those_of_the_source() {
    let source = limits();
    let path = root().join("docs/limits.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once(MADE).expect("the page has a mark");
    let made = format!("{before}{MADE}\n{}", limit_tables(&source));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, made).unwrap();
    } else {
        assert!(page == made, "docs/limits.md differs from src/limits/ (BLESS=1 rewrites it)");
    }
}

const MADE: &str = "<!-- made from src/limits/ -->\n";

fn limit_tables(source: &str) -> String {
    // What it is for, source, metric; lines go on with what the last one began.
    let (mut doc, mut place) = (<[String; 3]>::default(), 0);
    let (mut text, mut count) = (String::new(), 0);
    for line in source.lines() {
        if let Some(section) = line.strip_prefix("// ---- ") {
            let title = section.trim_end_matches([' ', '-']);
            let begin = title.chars().take(1).flat_map(char::to_uppercase);
            let title: String = begin.chain(title.chars().skip(1)).collect();
            let head = "| Limit | Default | What it is for | Source | Metric |\n| --- | --- | --- | --- | --- |";
            let _ = write!(text, "\n## {title}\n\n{head}\n");
        } else if let Some(words) = line.strip_prefix("/// Source: ") {
            place = 1;
            doc[place].push_str(words);
        } else if let Some(words) = line.strip_prefix("/// Metric: ") {
            place = 2;
            doc[place] = format!("`{words}`");
        } else if let Some(words) = line.strip_prefix("/// ") {
            doc[place].push_str(if doc[place].is_empty() { "" } else { " " });
            doc[place].push_str(words);
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (name, rest) = constant.split_once(": ").unwrap();
            let (_, value) = rest.trim_end_matches(';').split_once(" = ").unwrap();
            let [about, source, metric] = std::mem::take(&mut doc);
            let _ = writeln!(text, "| `{name}` | {} | {about} | {source} | {metric} |", shown(name, value));
            place = 0;
            count += 1;
        }
    }
    assert_eq!(count, source.matches("pub const ").count(), "a constant was not understood");
    text.trim_start().to_owned()
}

#[test]
fn every_limit_that_refuses_is_counted_under_a_name_and_every_figure_is_explained() {
    let source = limits();
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let log = Log::new(LogFormat::Json, std::io::sink());
    let figures = log.metrics().render(&[], &[]);
    log.close();
    let names: BTreeSet<&str> = source.lines().filter_map(|line| line.strip_prefix("/// Metric: ")).collect();
    let known: BTreeSet<&str> = Limit::ALL.iter().map(|limit| limit.name()).collect();
    // Each name that a limit gives is one of the log's, or a figure's; and each of the log's is given by a limit.
    let figure = |name: &&str| name.starts_with("gateway_") && page.contains(&format!("`{name}`"));
    let wrong: Vec<_> = names.iter().filter(|name| !known.contains(*name) && !figure(name)).collect();
    assert!(wrong.is_empty(), "src/limits/ names metrics that are not there: {wrong:?}");
    let missing: Vec<_> = known.difference(&names).collect();
    assert!(missing.is_empty(), "no limit of src/limits/ has the metric: {missing:?}");
    // A limit whose own words say that something is refused has a metric.
    let refusing = Regex::new(r"(?m)((?:^///.*\n)+)pub const (\w+)").unwrap();
    let reply = Regex::new(r"\b(?:421|452|500|552|554)\b").unwrap();
    let silent: Vec<_> = refusing
        .captures_iter(&source)
        .filter(|found| !found[2].starts_with("RELAY_") && reply.is_match(found[1].split("Source:").next().unwrap()))
        .filter(|found| !found[1].contains("Metric: "))
        .map(|found| found[2].to_owned())
        .collect();
    assert!(silent.is_empty(), "these refuse and are not counted: {silent:?}");
    let shown = figures.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let unexplained: Vec<_> = shown.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(unexplained.is_empty(), "docs/metrics.md does not explain: {unexplained:?}");
}

/// A constant's value as a person writes it.
fn shown(name: &str, value: &str) -> String {
    let product = |text: &str| text.split('*').map(|factor| factor.trim().replace('_', "").parse::<u64>().ok()).product::<Option<u64>>();
    if let Some(seconds) = value.strip_prefix("Duration::from_secs(").and_then(|rest| product(rest.trim_end_matches(')'))) {
        return match seconds {
            s if s >= 86_400 && s % 86_400 == 0 => format!("{} d", s / 86_400),
            s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
            s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
            s => format!("{s} s"),
        };
    }
    if let Some(millis) = value.strip_prefix("Duration::from_millis(").and_then(|rest| product(rest.trim_end_matches(')'))) {
        return format!("{millis} ms");
    }
    match product(value) {
        Some(bytes) if name.contains("BYTES") && bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        Some(bytes) if name.contains("BYTES") && bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        Some(number) => number.to_string(),
        None => value.to_owned(),
    }
}

#[test]
fn every_event_and_field_of_the_log_is_explained() {
    let events = events();
    let page = fs::read_to_string(root().join("docs/log.md")).unwrap();
    let mut missing = Vec::new();
    for (name, fields) in &events {
        let Some((_, section)) = page.split_once(&format!("\n### `{name}`\n")) else {
            missing.push(name.clone());
            continue;
        };
        let section = section.split("\n### ").next().unwrap();
        // What every event of a session or a message carries is explained once, above.
        let fields = fields.iter().filter(|field| !["session", "message", "config"].contains(&field.as_str()));
        missing.extend(fields.filter(|field| !section.contains(&format!("`{field}`"))).map(|field| format!("{name}.{field}")));
    }
    assert!(events.len() > 10, "the events were not found");
    assert!(missing.is_empty(), "docs/log.md does not explain: {missing:?}");
}

#[test]
fn each_example_line_has_the_fields_of_its_event() {
    let events = events();
    let page = fs::read_to_string(root().join("docs/log.md")).unwrap();
    let (_, sections) = page.split_once("\n## Every event\n").unwrap();
    let key = Regex::new(r#"[{,]"(\w+)":"#).unwrap();
    let (mut mistakes, mut count) = (Vec::new(), 0);
    for line in sections.lines().filter(|line| line.starts_with("{\"ts\"")) {
        let example: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let name = example["event"].as_str().unwrap();
        // In the order of the line; those of objects inside are not fields of the event.
        let mut there: Vec<&str> = Vec::new();
        for found in key.captures_iter(line) {
            let name = found.get(1).unwrap().as_str();
            if example.contains_key(name) && !there.contains(&name) {
                there.push(name);
            }
        }
        // Left out where there was one try.
        let fields = events[name].iter().map(String::as_str).filter(|field| *field != "tries" || there.contains(field));
        let expected: Vec<&str> = ["ts", "event"].into_iter().chain(fields).collect();
        count += 1;
        if there != expected {
            mistakes.push(format!("{name} has {there:?}\ninstead of {expected:?}"));
        }
    }
    assert!(count > 10, "the examples were not found");
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

/// The events by name, each with its fields in order.
fn events() -> BTreeMap<String, Vec<String>> {
    let source = fs::read_to_string(root().join("src/telemetry/event.rs")).unwrap();
    let (_, events) = source.split_once("pub enum Event").unwrap();
    let (events, _) = events.split_once("\n}\n").unwrap();
    let variant = Regex::new(r"(?s)\n    ([A-Z]\w+) \{(.*?)\}").unwrap();
    let field = Regex::new(r"(\w+): ").unwrap();
    let fields = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| field.captures_iter(line).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
    };
    variant.captures_iter(events).map(|found| (snake_case(&found[1]), fields(&found[2]))).collect()
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let is_listed = |room: &&str| ["/", ".rs"].iter().any(|end| map.contains(&format!("| `{room}{end}` |")));
    let missing: Vec<_> = rooms.iter().filter(|room| !is_listed(room)).collect();
    assert!(rooms.len() > 10 && missing.is_empty(), "docs/architecture.md does not list: {missing:?}");
}

#[test]
fn tests_named_by_the_pages_exist() {
    let named = Regex::new(r"`(?:tests|src)/[\w/.]+(?:\.rs|/)?`").unwrap();
    let missing: BTreeSet<_> = pages()
        .iter()
        .flat_map(|page| named.find_iter(&page.text).map(|found| found.as_str().trim_matches('`').to_owned()).collect::<Vec<_>>())
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "the pages name files that are not there: {missing:?}");
}

struct Page {
    /// Below the root.
    path: String,
    text: String,
}

impl Page {
    /// Without fenced blocks.
    fn prose(&self) -> String {
        Regex::new(r"(?ms)^```.*?^```$").unwrap().replace_all(&self.text, "").into_owned()
    }
}

fn pages() -> Vec<Page> {
    let in_docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let paths = in_docs.filter(|path| path.ends_with(".md")).chain(["README.md".to_owned()]);
    paths.map(|path| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
