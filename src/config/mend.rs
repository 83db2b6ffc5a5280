//! Fixes of mistakes, made in the files: the safe ones, until nothing is left to mend.
//!
//! All is tried in memory first, each round checked as if the files had been written; only the result is. Nothing else of a file changes:
//! a fix says which bytes become which.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Fix, Sink};
use super::files::{self, Contents};
use super::report::{Options, Report};
use super::source::{Source, Span};
use super::{CheckError, check_contents, tree};
use crate::limits;

/// What became of the files, in memory.
#[derive(Debug)]
pub struct Mended {
    /// What is left when the fixes are made.
    pub report: Report,
    /// The files that are another now.
    pub files: Vec<MendedFile>,
}

/// A file with its fixes.
#[derive(Debug)]
pub struct MendedFile {
    /// As it is shown.
    pub path: PathBuf,
    /// As it was read.
    pub before: String,
    /// As it should be.
    pub after: String,
    /// What was done, with the line where, in the order of doing.
    pub done: Vec<(usize, String)>,
}

/// Checks files and makes the safe fixes in memory.
pub fn mend(paths: &[PathBuf], options: &Options) -> Result<Mended, CheckError> {
    let mut contents = Contents::default();
    let mut files: BTreeMap<PathBuf, MendedFile> = BTreeMap::new();
    for _ in 0..limits::FIX_ROUNDS_MAX {
        let report = check_contents(paths, options, &contents)?;
        let mut by_file: BTreeMap<&Path, Vec<&Diagnostic>> = BTreeMap::new();
        for diagnostic in &report.diagnostics {
            by_file.entry(&diagnostic.file).or_default().push(diagnostic);
        }
        let mut changed = false;
        for (path, diagnostics) in by_file {
            let Some(first) = diagnostics.first() else { continue };
            let source = report.original(&first.source);
            let Some((text, done)) = with_fixes(&source, &diagnostics) else { continue };
            changed = true;
            let file = files.entry(path.to_owned()).or_insert_with(|| MendedFile {
                path: path.to_owned(),
                before: source.text.clone(),
                after: String::new(),
                done: Vec::new(),
            });
            file.done.extend(done);
            file.after.clone_from(&text);
            contents.replace(path, text.into_bytes());
        }
        if !changed {
            return Ok(Mended { report, files: files.into_values().collect() });
        }
    }
    Ok(Mended { report: check_contents(paths, options, &contents)?, files: files.into_values().collect() })
}

/// The text with the first safe fix of each mistake, as far as they do not touch each other; `None` when there is none.
fn with_fixes(source: &Source, diagnostics: &[&Diagnostic]) -> Option<(String, Vec<(usize, String)>)> {
    let mut edits: Vec<(&Span, &str)> = Vec::new();
    let mut done = Vec::new();
    for diagnostic in diagnostics {
        let Some(fix) = diagnostic.fixes.iter().find(|fix| fix.is_safe) else { continue };
        if fix.edits.is_empty() || !is_free(fix, &edits, &source.text) {
            continue;
        }
        edits.extend(fix.edits.iter().map(|(span, text)| (span, text.as_str())));
        done.push((diagnostic.line, fix.title.clone()));
    }
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let mut text = String::with_capacity(source.text.len());
    let mut at = 0_usize;
    for (span, new) in edits {
        text.push_str(source.text.get(at..span.start)?);
        text.push_str(new);
        at = span.end;
    }
    text.push_str(source.text.get(at..)?);
    if text == source.text {
        return None;
    }
    // A change that takes away the sense of the file was none that mends it.
    let is_yaml = source.path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let reads = |text: &str| tree::parse(&mut Sink::new(Source::new(source.path.clone(), text.to_owned()))).is_some();
    (!is_yaml || reads(&text)).then_some((text, done))
}

/// Whether a fix is within the text and touches no place that another one changes.
fn is_free(fix: &Fix, taken: &[(&Span, &str)], text: &str) -> bool {
    fix.edits.iter().all(|(span, _)| {
        let is_within = span.start <= span.end && text.is_char_boundary(span.start) && text.is_char_boundary(span.end);
        is_within && taken.iter().all(|(other, _)| span.end < other.start || other.end < span.start)
    })
}

impl MendedFile {
    /// Writes the file, whole or not at all: another one beside it takes its place. A link stays one; mode and owner stay where the
    /// system lets us.
    ///
    /// # Errors
    /// The file is not any more what was checked, or cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let target = fs::canonicalize(&self.path)?;
        let metadata = fs::metadata(&target)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // A name that no check takes for a configuration file, and of this process alone.
        let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = self.write_beside(&beside, &metadata).and_then(|()| {
            if files::bytes(&target, u64::MAX >> 1)? != self.before.as_bytes() {
                return Err(io::Error::other("it has changed since it was checked"));
            }
            fs::rename(&beside, &target)?;
            fs::File::open(folder)?.sync_all()
        });
        if written.is_err() {
            drop(fs::remove_file(&beside));
        }
        written
    }

    fn write_beside(&self, path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(self.after.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        // Only root may give a file away; for others it stays theirs, as with every editor.
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
            drop(std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid())));
            file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        file.sync_all()
    }
}

impl Report {
    /// The file's own text, with the secrets that no output shows.
    fn original(&self, shown: &Arc<Source>) -> Arc<Source> {
        self.originals.get(&shown.path).map_or_else(|| Arc::clone(shown), Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn comments_order_and_line_ends_stay() {
        let text = "# Räume\r\nrules:   # all of them\r\n  - name: 2024\r\n    unles: [{ tls: yes }]  # why\r\n    actions: Drop\r\n";
        let folder = folder(&[("rules/a.yaml", text)]);
        let mended = mend(&[folder.path().to_owned()], &Options::default()).unwrap();
        assert_eq!(mended.report.errors(), 0, "{}", mended.report.render(crate::config::Format::Text, false));
        let [file] = mended.files.as_slice() else { panic!("{:?}", mended.files) };
        let expected = text.replace("2024", "\"2024\"").replace("unles", "unless").replace("yes", "true").replace("Drop", "[Drop]");
        assert_eq!(file.after, expected);
        assert_eq!(file.done.len(), 4, "{:?}", file.done);
        assert_eq!(fs::read_to_string(folder.path().join("rules/a.yaml")).unwrap(), text, "nothing is written yet");
        file.write().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("rules/a.yaml")).unwrap(), expected);
    }

    #[test]
    fn links_are_followed_and_modes_stay() {
        let folder = folder(&[("kept/real.yaml", "rules:\n  - { name: 1, actions: [Drop] }\n")]);
        let (real, link) = (folder.path().join("kept/real.yaml"), folder.path().join("rules/a.yaml"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        let mended = mend(std::slice::from_ref(&link), &Options::default()).unwrap();
        mended.files[0].write().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("\"1\""));
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_has_changed_is_not_written() {
        let folder = folder(&[("rules/a.yaml", "rules:\n  - { name: 1, actions: [Drop] }\n")]);
        let mended = mend(&[folder.path().to_owned()], &Options::default()).unwrap();
        let path = folder.path().join("rules/a.yaml");
        fs::write(&path, "rules: []\n").unwrap();
        assert!(mended.files[0].write().unwrap_err().to_string().contains("changed"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "rules: []\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn secrets_survive_fixes_of_the_same_file() {
        let text = "relays:\n  a: { host: a.example, prot: 25, auth: { username: u, password: hunter2 } }\n";
        let folder = folder(&[("gateway.yaml", text)]);
        let mended = mend(&[folder.path().to_owned()], &Options::default()).unwrap();
        assert!(
            mended.files[0].after.contains("{ host: a.example, port: 25, auth: { username: u, password: hunter2 } }"),
            "{:?}",
            mended.files
        );
    }
}
