//! One example of bad configuration for every diagnostic, with the expected output beside it.
//!
//! A folder is named by the code it shows, with a word behind it where a code has several. `BLESS=1` rewrites the
//! expectations; read the difference before you commit it. Three files steer a case: `paths.txt` names what is validated
//! instead of the whole folder, `options.txt` has options of `gateway validate`, `repeat.txt` (`PATH COUNT TEXT`) makes a file that is too large to keep. Each line of
//! `certificates.txt` (`NAME DNS-NAME…`) makes a certificate `tls/NAME.pem` with its `tls/NAME.key`: no private key stands here. All
//! of it is judged as of 2026-11-21.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, Code, Compat, Format, Options, Report};

#[test]
fn every_diagnostic_reads_as_expected() {
    let mut different = Vec::new();
    for (name, folder) in cases() {
        let report = validate(&folder);
        let wanted = Code::ALL.iter().filter(|code| name.starts_with(code.name())).max_by_key(|code| code.name().len());
        let wanted = wanted.unwrap_or_else(|| panic!("{name} is not named by a code"));
        assert!(report.report.diagnostics.iter().any(|d| d.code == *wanted), "{name} does not show its code:\n{}", report.text);
        let expected = folder.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &report.text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != report.text {
            different.push(format!("== {name}\n{}", report.text));
        }
    }
    assert!(different.is_empty(), "these differ from expected.txt (BLESS=1 rewrites it):\n{}", different.join("\n"));
}

#[test]
fn every_code_has_an_example() {
    let cases = cases();
    let missing: Vec<_> = Code::ALL.iter().map(|code| code.name()).filter(|name| !cases.contains_key(*name)).collect();
    assert!(missing.is_empty(), "no example in tests/diagnostics: {missing:?}");
}

#[test]
fn places_are_inside_the_file_and_sorted() {
    for (name, folder) in cases() {
        let report = validate(&folder).report;
        let places: Vec<_> = report.diagnostics.iter().map(|d| (d.file.clone(), d.line, d.column)).collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
        assert!(places.iter().all(|(_, line, column)| *line >= 1 && *column >= 1), "{name}: {places:?}");
    }
}

#[test]
fn machine_formats_say_the_same() {
    let report = validate(&examples().join("cidr")).report;
    let json: serde_json::Value = serde_json::from_str(&report.render(Format::Json, false)).unwrap();
    assert_eq!(json["errors"], 3);
    assert_eq!((&json["diagnostics"][0]["code"], &json["diagnostics"][0]["line"]), (&"cidr".into(), &4.into()));
    let sarif: serde_json::Value = serde_json::from_str(&report.render(Format::Sarif, false)).unwrap();
    assert_eq!(sarif["runs"][0]["results"][2]["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), Code::ALL.len());
    let github = report.render(Format::Github, false);
    assert_eq!(github.lines().count(), 3);
    assert!(github.lines().all(|line| line.starts_with("::error file=") && line.contains(",line=4,")), "{github}");
}

#[test]
fn secrets_in_a_file_are_not_shown() {
    let report = validate(&examples().join("secret-inline")).report;
    for format in [Format::Text, Format::Json, Format::Github, Format::Sarif] {
        assert!(!report.render(format, false).contains("hunter2"));
    }
}

struct Validated {
    report: Report,
    text: String,
}

/// Validates a copy away from the repository, whose own `gateway.yaml` would be found above it.
fn validate(folder: &Path) -> Validated {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().canonicalize().unwrap();
    copy(folder, &root);
    if let Ok(text) = fs::read_to_string(folder.join("repeat.txt")) {
        let mut words = text.split_whitespace();
        let (path, count, piece) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, piece.repeat(count.parse().unwrap())).unwrap();
    }
    let paths: Vec<PathBuf> = match fs::read_to_string(folder.join("paths.txt")) {
        Ok(text) => text.lines().map(|line| root.join(line)).collect(),
        Err(_) => vec![root.clone()],
    };
    for line in fs::read_to_string(folder.join("certificates.txt")).unwrap_or_default().lines() {
        let (name, names) = line.split_once(' ').unwrap_or((line, ""));
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::create_dir_all(root.join("tls")).unwrap();
        fs::write(root.join(format!("tls/{name}.pem")), made.cert.pem()).unwrap();
        fs::write(root.join(format!("tls/{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let options = fs::read_to_string(folder.join("options.txt")).unwrap_or_default();
    let options = Options {
        strict: options.contains("--strict"),
        compat: options.contains("--compat mail-manager").then_some(Compat::MailManager),
        now: Some(time::macros::datetime!(2026-11-21 12:00 UTC)),
        ..Options::default()
    };
    let report = config::check_with(&paths, &options).unwrap();
    let text = format!("{}{}\n", report.render(Format::Text, false), report.summary());
    let text = text.replace(&format!("{}/", root.display()), "");
    Validated { report, text }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

fn cases() -> BTreeMap<String, PathBuf> {
    let folders = fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}
