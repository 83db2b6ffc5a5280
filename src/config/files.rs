//! Files: reading them into sinks, finding `gateway.yaml` above a path and the YAML files below one.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::diagnostic::{Code, Sink};
use super::source::Source;
use crate::limits;

/// The files that were read, with a checksum over their names and contents.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// In the order of reading.
    pub(crate) files: Vec<PathBuf>,
    hasher: crc32fast::Hasher,
}

impl Reader {
    /// Reads a file as text. What is wrong with it is in the sink, which then has an empty text.
    pub(crate) fn read(&mut self, path: &Path, bytes_max: u64) -> Sink {
        let shown = shown(path);
        self.files.push(path.to_owned());
        let bytes = match bytes(path, bytes_max) {
            Ok(bytes) => bytes,
            Err(error) => {
                let mut sink = Sink::new(Source::new(shown, String::new()));
                sink.error(Code::Unreadable, 0..0, format!("the file cannot be read: {}", why(&error)));
                return sink;
            }
        };
        self.add(path, &bytes);
        if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
            let mut sink = Sink::new(Source::new(shown, String::new()));
            sink.error(Code::TooLarge, 0..0, format!("the file is larger than {} MiB", bytes_max >> 20));
            return sink;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Sink::new(Source::new(shown, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
                let mut sink = Sink::new(Source::new(shown, text));
                sink.error(Code::Encoding, valid..valid, "the file is not UTF-8 from here on").help("save it as UTF-8");
                sink
            }
        }
    }

    /// Counts a file in that others read.
    pub(crate) fn add_file(&mut self, path: PathBuf, content: &[u8]) {
        self.add(&path, content);
        self.files.push(path);
    }

    /// 8 hex digits.
    pub(crate) fn hash(&self) -> String {
        format!("{:08x}", self.hasher.clone().finalize())
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) {
        // The name without its folder: the same files elsewhere are the same configuration.
        self.hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        self.hasher.update(&bytes.len().to_be_bytes());
        self.hasher.update(bytes);
    }
}

/// What an operator needs of an I/O error, without the operating system's number.
pub(crate) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// At most one byte more than allowed, so that an endless file ends too.
pub(crate) fn bytes(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The path as the operator would write it: relative to the working directory when it is below it.
pub(crate) fn shown(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    match std::env::current_dir() {
        Ok(here) => plain.strip_prefix(&here).map(Path::to_owned).unwrap_or(plain),
        Err(_) => plain,
    }
}

/// The nearest folder with a `gateway.yaml`, from the path itself upwards.
pub(crate) fn root_above(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let start = if absolute.is_dir() { absolute.as_path() } else { absolute.parent()? };
    start.ancestors().find(|folder| folder.join("gateway.yaml").is_file()).map(Path::to_owned)
}

/// The YAML files that a path means, sorted: the file itself, or those of a folder and its `policies` and `rules`, tests included.
pub(crate) fn below(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![std::path::absolute(path)?]);
    }
    let folder = std::path::absolute(path)?;
    let mut found = Vec::new();
    collect(&folder, 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    let deployment = folder.join("gateway.yaml").is_file();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() {
            let interesting = !deployment || matches!(name, "rules" | "policies");
            // Eight folders deep nobody keeps a deployment; a circle of links ends here.
            if interesting && !name.starts_with('.') && depth < 8 {
                collect(&entry, depth.saturating_add(1), found)?;
            }
        } else if is_yaml(&entry) && (!deployment || name == "gateway.yaml") {
            found.push(entry);
        }
    }
    Ok(())
}

/// Whether a file is one of tests: it is somewhere below `rules/tests`.
pub(crate) fn is_of_tests(path: &Path) -> bool {
    let mut folders = path.ancestors().skip(1);
    folders.any(|folder| is_folder(folder, "tests") && folder.parent().is_some_and(|parent| is_folder(parent, "rules")))
}

/// Whether a file counts as YAML, by either of the usual endings.
fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a folder has this name.
pub(crate) fn is_folder(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|last| last == name)
}

/// The largest YAML file as a number of the reader's kind.
pub(crate) fn yaml_bytes_max() -> u64 {
    u64::try_from(limits::YAML_FILE_BYTES_MAX).unwrap_or(u64::MAX)
}
