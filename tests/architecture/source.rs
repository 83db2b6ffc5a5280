//! The sources as the checks see them: code without its comments and its tests. It leans on rustfmt: an item ends on a line with
//! the indentation that it began with.

use std::collections::BTreeSet;
use std::path::Path;

/// A file of `src/` that is not made of tests alone.
pub struct SourceFile {
    /// Below `src/`.
    pub path: String,
    /// As it stands.
    pub text: String,
}

/// All files of the library but its root, which only names the rooms, and without files that are modules of tests.
pub fn files() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    read(&root, &root, &mut files);
    assert!(files.len() > 10, "the sources were not found");
    let tests: BTreeSet<String> = files.iter().flat_map(SourceFile::test_modules).collect();
    let is_test = |path: &str| tests.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")));
    files.retain(|file| file.path != "lib.rs" && file.path != "main.rs" && !is_test(&file.path));
    files
}

fn read(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push(SourceFile::new(path.strip_prefix(root).unwrap().to_str().unwrap(), &text));
        }
    }
}

impl SourceFile {
    /// A file with this path below `src/`.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The folder, or the file's stem at the top level.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The lines that are neither comment nor test, with their numbers.
    pub fn code(&self) -> Vec<(usize, &str)> {
        let lines = self.lines().into_iter().filter(|line| !line.is_test);
        lines.map(|line| (line.number, without_comment(line.text))).filter(|(_, text)| !text.trim().is_empty()).collect()
    }

    /// How long the file is, apart from its tests.
    pub fn lines_without_tests(&self) -> usize {
        self.lines().iter().filter(|line| !line.is_test).count()
    }

    /// Whether a comment on this line, or in the comment right above its statement, gives the reason why it cannot fail.
    pub fn says_invariant(&self, number: usize) -> bool {
        let lines: Vec<&str> = self.text.lines().take(number).collect();
        let above = lines.iter().rev().skip(1).take(4);
        lines.last().is_some_and(|line| line.contains("// invariant:"))
            || above.into_iter().any(|line| line.trim().starts_with("// invariant:"))
    }

    /// Modules of tests in files of their own, as paths below `src/` without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let parent = match self.path.strip_suffix("/mod.rs") {
            Some(folder) => format!("{folder}/"),
            None if self.path == "lib.rs" => String::new(),
            None => format!("{}/", self.path.trim_end_matches(".rs")),
        };
        let sibling = self.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let mut modules = Vec::new();
        let mut file_name = None;
        for line in self.lines().iter().filter(|line| line.is_test) {
            let text = line.text.trim();
            if let Some(path) = text.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix(".rs\"]")) {
                file_name = Some(format!("{sibling}{path}"));
            } else if let Some(name) = text.strip_suffix(';').and_then(|text| text.rsplit_once("mod ")).map(|(_, name)| name) {
                modules.push(file_name.take().unwrap_or(format!("{parent}{name}")));
            }
        }
        modules
    }

    fn lines(&self) -> Vec<Line<'_>> {
        // The indentation of a test item that has not ended yet.
        let mut test_item: Option<usize> = None;
        let mut lines = Vec::new();
        for (index, text) in self.text.lines().enumerate() {
            let indentation = text.len() - text.trim_start().len();
            if test_item.is_none() && text.trim_start().starts_with("#[cfg(test)]") {
                test_item = Some(indentation);
            }
            lines.push(Line { number: index + 1, text, is_test: test_item.is_some() });
            let trimmed = text.trim();
            let ends = trimmed.starts_with('}') || trimmed.ends_with(';') || (trimmed.ends_with('}') && !trimmed.starts_with('#'));
            if test_item == Some(indentation) && ends && !trimmed.is_empty() {
                test_item = None;
            }
        }
        lines
    }
}

struct Line<'a> {
    number: usize,
    text: &'a str,
    is_test: bool,
}

/// The line up to its comment. `//` within a text, as in `http://`, has no space before it.
fn without_comment(line: &str) -> &str {
    let starts = line.match_indices("//").map(|(at, _)| at);
    match starts.into_iter().find(|at| line[..*at].trim().is_empty() || line[..*at].ends_with(' ')) {
        Some(at) => &line[..at],
        None => line,
    }
}

#[test]
fn code_is_what_is_neither_comment_nor_test() {
    let file = SourceFile::new(
        "room/mod.rs",
        "//! Doc.\n\n#[cfg(test)]\nmod far;\n#[cfg(test)]\n#[path = \"elsewhere.rs\"]\nmod near;\nlet a = \"http://x\"; // why\n#[cfg(test)]\nfn only_here() {\n    \
         b;\n}\nlet c;\n#[cfg(test)]\nmod tests {\n    fn d() {}\n}\n",
    );
    assert_eq!(file.code(), [(8, "let a = \"http://x\"; "), (13, "let c;")]);
    assert_eq!(file.test_modules(), ["room/far", "room/elsewhere"]);
    assert_eq!(file.lines_without_tests(), 4);
}

#[test]
fn an_expect_needs_its_reason_beside_it() {
    let file = SourceFile::new("room/mod.rs", "let a = b.expect(\"c\");\n// invariant: d.\nlet e = f\n    .expect(\"g\");\n");
    assert!(!file.says_invariant(1));
    assert!(file.says_invariant(4));
}
