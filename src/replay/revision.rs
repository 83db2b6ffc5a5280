//! A deployment at a revision of its git repository, read by `git` into a folder of its own that is gone afterwards.
//!
//! Files are taken as git has stored them: no filter, hook or checkout runs, and nothing in the repository is touched.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::{REPLAY_REVISION_BYTES_MAX, REPLAY_REVISION_FILES_MAX};

/// A revision that was read.
#[derive(Debug)]
pub struct Revision {
    /// `gateway.yaml` in it.
    pub gateway_yaml: PathBuf,
    /// The commit, shortened.
    pub commit: String,
    /// What was not taken along, in words.
    pub left_out: Vec<String>,
    folder: Folder,
}

/// Why a revision cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionError(String);

impl fmt::Display for RevisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RevisionError {}

impl From<io::Error> for RevisionError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// One file of a tree.
struct Blob {
    id: String,
    path: Vec<u8>,
    size: u64,
    is_link: bool,
}

impl Revision {
    /// Reads the deployment of `gateway_yaml` as it was at a revision of the repository that it lies in.
    ///
    /// # Errors
    /// When there is no git, no repository, no such revision, or no such file in it.
    pub fn read(gateway_yaml: &Path, revision: &str) -> Result<Self, RevisionError> {
        // What begins with a dash would be an option.
        if revision.is_empty() || revision.starts_with('-') || revision.contains(['\0', '\n', ':']) {
            return Err(RevisionError(format!("`{}` is no git revision", revision.escape_debug())));
        }
        let name = gateway_yaml.file_name().ok_or_else(|| RevisionError(format!("{} is no file", gateway_yaml.display())))?;
        let above = gateway_yaml.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let top = line(git(above).args(["rev-parse", "--show-toplevel"]), "the folder is in no git repository")?;
        let top = PathBuf::from(OsStr::from_bytes(&top));
        let prefix = line(git(above).args(["rev-parse", "--show-prefix"]), "the folder is in no git repository")?;
        let mut verify = git(above);
        verify.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(format!("{revision}^{{commit}}"));
        let commit = line(&mut verify, &format!("the repository {} has no revision `{revision}`", top.display()))?;
        let commit = String::from_utf8_lossy(&commit).into_owned();
        let mut left_out = Vec::new();
        let mut blobs = list(&top, &commit, b"", &mut left_out)?;
        let bytes = |blobs: &[Blob]| blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        let is_too_much = |blobs: &[Blob]| blobs.len() > REPLAY_REVISION_FILES_MAX || bytes(blobs) > REPLAY_REVISION_BYTES_MAX;
        if is_too_much(&blobs) && !prefix.is_empty() {
            left_out.clear();
            blobs = list(&top, &commit, &prefix, &mut left_out)?;
            left_out.push(format!("the repository is large: only {} was taken", String::from_utf8_lossy(&prefix)));
        }
        if is_too_much(&blobs) {
            return Err(RevisionError(format!(
                "`{revision}` holds more than {REPLAY_REVISION_FILES_MAX} files or {} MiB; check it out yourself and name its gateway.yaml",
                REPLAY_REVISION_BYTES_MAX >> 20
            )));
        }
        let wanted = [prefix.as_slice(), name.as_bytes()].concat();
        if !blobs.iter().any(|blob| blob.path == wanted) {
            return Err(RevisionError(format!("`{revision}` has no {}", String::from_utf8_lossy(&wanted))));
        }
        let folder = Folder::new()?;
        write(&top, &blobs, &folder, &mut left_out)?;
        let short = commit.get(..10).unwrap_or(&commit).to_owned();
        Ok(Self { gateway_yaml: folder.0.join(OsStr::from_bytes(&wanted)), commit: short, left_out, folder })
    }

    /// A text about its files with the revision's name in place of the folder that they are in for now.
    pub fn as_named(&self, text: &str, revision: &str) -> String {
        text.replace(&format!("{}/", self.folder.0.display()), &format!("{revision}:"))
    }
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).stdin(Stdio::null());
    // In a hook these name another place than the folder.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"] {
        git.env_remove(variable);
    }
    // Nothing is fetched, nobody is asked for a password, no lock is taken, and words are those that are looked for.
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    git
}

/// The output of a git command without its last line end.
fn line(command: &mut Command, what: &str) -> Result<Vec<u8>, RevisionError> {
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RevisionError("the program `git` is not there".to_owned()),
        _ => RevisionError(format!("git: {error}")),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().map(|line| format!(" ({})", line.trim_start_matches("fatal: "))).unwrap_or_default();
        return Err(RevisionError(format!("{what}{said}")));
    }
    let mut text = output.stdout;
    if text.ends_with(b"\n") {
        text.pop();
    }
    Ok(text)
}

/// The files of a commit below a folder.
fn list(top: &Path, commit: &str, below: &[u8], left_out: &mut Vec<String>) -> Result<Vec<Blob>, RevisionError> {
    let mut command = git(top);
    command.args(["ls-tree", "-r", "-z", "--long", "--full-tree", commit]);
    if !below.is_empty() {
        // A path, and no pattern.
        command.env("GIT_LITERAL_PATHSPECS", "1").arg("--").arg(OsStr::from_bytes(below));
    }
    let listed = line(&mut command, "the files of the revision cannot be listed")?;
    let mut blobs = Vec::new();
    for entry in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let Some((head, path)) =
            entry.iter().position(|byte| *byte == b'\t').map(|tab| (entry.get(..tab), entry.get(tab.saturating_add(1)..)))
        else {
            continue;
        };
        let head = String::from_utf8_lossy(head.unwrap_or_default()).into_owned();
        let path = path.unwrap_or_default().to_vec();
        let mut words = head.split_whitespace();
        let (mode, _kind, id, size) = (words.next().unwrap_or_default(), words.next(), words.next().unwrap_or_default(), words.next());
        if mode == "160000" {
            left_out.push(format!("{} is a submodule", String::from_utf8_lossy(&path)));
            continue;
        }
        // Git refuses such names itself; a file outside the folder would be a disaster.
        if !is_below(&path) {
            return Err(RevisionError(format!("the revision has a file with the name {}", String::from_utf8_lossy(&path).escape_debug())));
        }
        let size = size.and_then(|size| size.parse().ok()).unwrap_or(0);
        blobs.push(Blob { id: id.to_owned(), path, size, is_link: mode == "120000" });
    }
    Ok(blobs)
}

fn is_below(path: &[u8]) -> bool {
    !path.is_empty() && Path::new(OsStr::from_bytes(path)).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Writes the files into the folder.
fn write(top: &Path, blobs: &[Blob], folder: &Folder, left_out: &mut Vec<String>) -> Result<(), RevisionError> {
    let mut child = git(top).args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let result = match (child.stdin.take(), child.stdout.take()) {
        (Some(mut questions), Some(answers)) => std::thread::scope(|scope| {
            let ask = scope.spawn(move || blobs.iter().try_for_each(|blob| questions.write_all(format!("{}\n", blob.id).as_bytes())));
            let written = take(&mut BufReader::new(answers), blobs, folder, left_out);
            // A broken pipe there is told better by what was not read here.
            let _ = ask.join();
            written
        }),
        _ => Err(RevisionError("git cannot be talked to".to_owned())),
    };
    if result.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    result
}

fn take(answers: &mut impl BufRead, blobs: &[Blob], folder: &Folder, left_out: &mut Vec<String>) -> Result<(), RevisionError> {
    let broken = |blob: &Blob| RevisionError(format!("git does not give {}", String::from_utf8_lossy(&blob.path)));
    let mut links = Vec::new();
    for blob in blobs {
        let mut head = Vec::new();
        answers.by_ref().take(1000).read_until(b'\n', &mut head)?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let size: u64 = head.split_whitespace().nth(2).and_then(|size| size.parse().ok()).ok_or_else(|| broken(blob))?;
        if size != blob.size {
            return Err(broken(blob));
        }
        let path = folder.0.join(OsStr::from_bytes(&blob.path));
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        let mut content = Vec::new();
        answers.by_ref().take(size).read_to_end(&mut content)?;
        if content.starts_with(b"version https://git-lfs.github.com/spec/") {
            left_out.push(format!("{} is in Git LFS: its content is not in the repository", String::from_utf8_lossy(&blob.path)));
        }
        if blob.is_link {
            links.push((path, content));
        } else {
            fs::write(&path, &content)?;
        }
        answers.by_ref().take(1).read_to_end(&mut Vec::new())?;
    }
    // Links come last, so that nothing is written through one.
    for (path, target) in links {
        std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path)?;
    }
    Ok(())
}

/// A folder for ourselves, removed in the end.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, RevisionError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        for _ in 0..16 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("gateway-replay-{}-{unique}-{number}", std::process::id()));
            // For nobody else's eyes; and one that is there already is not ours.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(RevisionError(format!("{}: {error}", path.display()))),
            }
        }
        Err(RevisionError("no folder for the files of the revision can be made".to_owned()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
